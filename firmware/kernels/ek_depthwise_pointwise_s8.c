/* A depthwise convolution and the pointwise one behind it, without the map between them.
 * x [N, H, W, C], w [1, KH, KW, C * D], requant int32 [C * D, 3], weights [M, 1, 1, C * D], requant
 * int32 [M, 3], y [N, OH, OW, M]. Params: those of DEPTHWISE_CONV_2D (y_min, y_max and rounding are
 * of the values between), the zero point between, then y_min, y_max and rounding of y. Scratch: two
 * pixels of C * D values, and one gathered patch if a window crosses the border. Every value is
 * rounded as the two kernels round it. Twin: edgekit/ops/pair.py, depthwise_pointwise. */
#include "ek_lead.h"
#include "ek_matmul_s8.h"
#include "ek_window_s8.h"

enum { MIDDLE_ZERO = WINDOW_PARAMS, LAST_MIN, LAST_MAX, LAST_ROUNDING, PARAMS };
enum { X, TAPS, TAPS_REQUANT, WEIGHTS, REQUANT, Y };

ek_status ek_depthwise_pointwise_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[X];
    const ek_tensor *taps = &call->tensors[TAPS];
    const ek_tensor *w = &call->tensors[WEIGHTS];
    const ek_tensor *y = &call->tensors[Y];
    if (!ek_call_is(call, 5, 1, PARAMS) || taps->type != EK_S8 || taps->constant == 0 ||
        w->type != EK_S8 || w->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (x->rank != 4 || taps->rank != 4 || w->rank != 4 || y->rank != 4 || taps->dims[0] != 1 ||
        taps->dims[3] % x->dims[3] != 0 || w->dims[1] != 1 || w->dims[2] != 1 ||
        w->dims[3] != taps->dims[3] || y->dims[3] != w->dims[0] || y->dims[0] != x->dims[0] ||
        taps->count / taps->dims[3] > EK_MAX_TERMS || w->dims[3] > EK_MAX_TERMS ||
        x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1) ||
        !ek_params_in(call, MIDDLE_ZERO, 1, -128, 127) || !ek_clamp_ok(call, LAST_MIN) ||
        !ek_params_in(call, LAST_ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    if (!ek_requant_rows_ok(&call->tensors[TAPS_REQUANT], taps->dims[3]) ||
        !ek_requant_rows_ok(&call->tensors[REQUANT], w->dims[0])) {
        return EK_ERR_RANGE;
    }
    if (!ek_window_ok(call, y, taps->dims[1], taps->dims[2], STRIDE_H, PAD_TOP)) {
        return EK_ERR_RANGE;
    }
    need->lead = ek_window_lead(call, x, y, STRIDE_H, PAD_TOP);
    need->scratch_bytes = ek_matmul_scratch_bytes(w->dims[3], 1) + ek_window_scratch_bytes(call, y);
    return EK_OK;
}

/* The depthwise layer at one output pixel. */
static void middle(const ek_call *call, uint32_t pixel, int8_t *to) {
    const ek_tensor *x = &call->tensors[X];
    const ek_tensor *w = &call->tensors[TAPS];
    const ek_tensor *y = &call->tensors[Y];
    const uint32_t row = pixel / y->dims[2];
    const uint32_t batch = row / y->dims[1];
    const int32_t step_h = ek_param(call, DILATION_H);
    const int32_t step_w = ek_param(call, DILATION_W);
    const int32_t iy =
        (int32_t)(row - batch * y->dims[1]) * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP);
    const int32_t ix =
        (int32_t)(pixel - row * y->dims[2]) * ek_param(call, STRIDE_W) - ek_param(call, PAD_LEFT);
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const int8_t *image = (const int8_t *)x->data + (size_t)batch * (x->count / x->dims[0]);
    const ek_output out = {ek_param(call, MIDDLE_ZERO), ek_param(call, Y_MIN),
                           ek_param(call, Y_MAX)};
    ek_window v = {NULL, (size_t)step_h * line, (size_t)step_w * channels};
    if (iy >= 0 && ix >= 0 && iy + ((int32_t)w->dims[1] - 1) * step_h < (int32_t)x->dims[1] &&
        ix + ((int32_t)w->dims[2] - 1) * step_w < (int32_t)x->dims[2]) {
        v.start = image + (size_t)iy * line + (size_t)ix * channels;
    } else {
        int8_t *patch = (int8_t *)call->scratch + ek_matmul_scratch_bytes(w->dims[3], 1);
        ek_window_patch_s8(call, image, iy, ix, patch);
        const ek_window border = {patch, w->dims[2] * channels, channels};
        v = border;
    }
    if (w->dims[3] != x->dims[3]) {
        ek_window_multiplied_s8(call, &v, &out, to);
    } else {
        ek_window_s8(call, &v, &out, to);
    }
}

void ek_depthwise_pointwise_s8(const ek_call *call) {
    const ek_tensor *w = &call->tensors[WEIGHTS];
    const ek_tensor *y = &call->tensors[Y];
    const ek_matmul m = {
        .weights = (const int8_t *)w->data,
        .requant = call->tensors[REQUANT].data,
        .requant_stride = 12,
        .n = w->dims[0],
        .k = w->dims[3],
        .y_zero_point = y->zero_point,
        .y_min = ek_param(call, LAST_MIN),
        .y_max = ek_param(call, LAST_MAX),
        .rounding = ek_param(call, LAST_ROUNDING),
        .gather = middle,
        .call = call,
        .scratch = call->scratch,
    };
    ek_matmul_s8(&m, y->count / m.n, (int8_t *)y->write);
}
