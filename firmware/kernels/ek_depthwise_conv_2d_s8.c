/* x [N, H, W, C], w [1, KH, KW, C * D], requant int32 [C * D, 3], y [N, OH, OW, C * D]; output
 * channel c * D + d reads input channel c. Params: stride_h, stride_w, dilation_h, dilation_w,
 * pad_top, pad_left, y_min, y_max, rounding. Scratch: one gathered patch of KH * KW * C bytes, if a
 * window crosses the border. Source:
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h, DepthwiseConvPerChannel.
 * Twin: edgekit/ops/conv.py, DEPTHWISE_CONV_2D. */
#include "ek_lead.h"
#include "ek_window_s8.h"

enum { PARAMS = WINDOW_PARAMS };

ek_status ek_depthwise_conv_2d_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || w->type != EK_S8 || w->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (x->rank != 4 || w->rank != 4 || y->rank != 4 || w->dims[0] != 1 ||
        w->dims[3] % x->dims[3] != 0 || y->dims[3] != w->dims[3] || y->dims[0] != x->dims[0] ||
        w->count / w->dims[3] > EK_MAX_TERMS || x->count > EK_MAX_INDEX ||
        y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    if (!ek_requant_rows_ok(&call->tensors[2], w->dims[3])) {
        return EK_ERR_RANGE;
    }
    if (!ek_window_ok(call, y, w->dims[1], w->dims[2], STRIDE_H, PAD_TOP)) {
        return EK_ERR_RANGE;
    }
    need->lead = ek_window_lead(call, x, y, STRIDE_H, PAD_TOP);
    need->scratch_bytes = ek_window_scratch_bytes(call, y);
    return EK_OK;
}

void ek_depthwise_conv_2d_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const int32_t step_h = ek_param(call, DILATION_H);
    const int32_t step_w = ek_param(call, DILATION_W);
    const int32_t last_y = (int32_t)x->dims[1] - 1 - ((int32_t)w->dims[1] - 1) * step_h;
    const int32_t last_x = (int32_t)x->dims[2] - 1 - ((int32_t)w->dims[2] - 1) * step_w;
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const ek_window inside = {NULL, (size_t)step_h * line, (size_t)step_w * channels};
    int8_t *patch = (int8_t *)call->scratch;
    const ek_window border = {patch, w->dims[2] * channels, channels};
    const int multiplied = w->dims[3] != x->dims[3];
    const int8_t *image = (const int8_t *)x->data;
    const ek_output out = {y->zero_point, ek_param(call, Y_MIN), ek_param(call, Y_MAX)};
    int8_t *to = (int8_t *)y->write;
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        int32_t iy = -ek_param(call, PAD_TOP);
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            int32_t ix = -ek_param(call, PAD_LEFT);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                ek_window v = inside;
                if (iy >= 0 && ix >= 0 && iy <= last_y && ix <= last_x) {
                    v.start = image + (size_t)iy * line + (size_t)ix * channels;
                } else {
                    ek_window_patch_s8(call, image, iy, ix, patch);
                    v = border;
                }
                if (multiplied) {
                    ek_window_multiplied_s8(call, &v, &out, to);
                } else {
                    ek_window_s8(call, &v, &out, to);
                }
                to += w->dims[3];
                ix += ek_param(call, STRIDE_W);
            }
            iy += ek_param(call, STRIDE_H);
        }
        image += x->count / x->dims[0];
    }
}
