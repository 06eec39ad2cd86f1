/* x [N, H, W, C], w [M, KH, KW, C], requant int32 [M, 3], y [N, OH, OW, M].
 * Params: stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, y_min, y_max, rounding.
 * Scratch: ek_matmul_scratch_bytes; patches are gathered except for 1x1 with stride 1 and no
 * padding. Source: tensorflow/lite/kernels/internal/reference/integer_ops/conv.h, ConvPerChannel.
 * Twin: edgekit/ops/conv.py, CONV_2D. */
#include "ek_lead.h"
#include "ek_matmul_s8.h"

enum {
    STRIDE_H,
    STRIDE_W,
    DILATION_H,
    DILATION_W,
    PAD_TOP,
    PAD_LEFT,
    Y_MIN,
    Y_MAX,
    ROUNDING,
    PARAMS
};

static int is_pointwise(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    return w->dims[1] == 1 && w->dims[2] == 1 && ek_param(call, STRIDE_H) == 1 &&
           ek_param(call, STRIDE_W) == 1 && ek_param(call, PAD_TOP) == 0 &&
           ek_param(call, PAD_LEFT) == 0 && x->dims[1] == y->dims[1] && x->dims[2] == y->dims[2];
}

ek_status ek_conv_2d_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || w->type != EK_S8 || w->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (x->rank != 4 || w->rank != 4 || y->rank != 4 || w->dims[3] != x->dims[3] ||
        y->dims[3] != w->dims[0] || y->dims[0] != x->dims[0] ||
        w->count / w->dims[0] > EK_MAX_TERMS || x->count > EK_MAX_INDEX ||
        y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    if (!ek_requant_rows_ok(&call->tensors[2], w->dims[0])) {
        return EK_ERR_RANGE;
    }
    if (!ek_window_ok(call, y, w->dims[1], w->dims[2], STRIDE_H, PAD_TOP)) {
        return EK_ERR_RANGE;
    }
    const int pointwise = is_pointwise(call);
    const uint32_t pixels = y->count / y->dims[3];
    need->scratch_bytes = ek_matmul_scratch_bytes(w->count / w->dims[0], !pointwise);
    need->lead = pointwise ? ek_rows_lead(pixels, w->dims[3], w->dims[0])
                           : ek_window_lead(call, x, y, STRIDE_H, PAD_TOP);
    return EK_OK;
}

/* What of a kernel row lies left of the image, in it, and right of it, in elements. */
typedef struct span {
    size_t left;
    size_t inside;
    size_t right;
} span;

/* Taps of a row that begins at column `first`; neighbours, not dilated. */
static span span_of(int32_t first, int32_t taps, int32_t width, size_t channels) {
    int32_t left = first < 0 ? -first : 0;
    left = left > taps ? taps : left;
    int32_t inside = (first + taps > width ? width - first : taps) - left;
    inside = inside < 0 ? 0 : inside;
    const span s = {(size_t)left * channels, (size_t)inside * channels,
                    (size_t)(taps - left - inside) * channels};
    return s;
}

/* Copies the patch under one output pixel, filling what lies outside with the zero point. */
static void gather(const ek_call *call, uint32_t pixel, int8_t *patch) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const uint32_t line = pixel / y->dims[2];
    const uint32_t batch = line / y->dims[1];
    const int32_t step_h = ek_param(call, DILATION_H);
    const int32_t step_w = ek_param(call, DILATION_W);
    int32_t iy =
        (int32_t)(line - batch * y->dims[1]) * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP);
    const int32_t ix0 =
        (int32_t)(pixel - line * y->dims[2]) * ek_param(call, STRIDE_W) - ek_param(call, PAD_LEFT);
    const int32_t height = (int32_t)x->dims[1];
    const int32_t width = (int32_t)x->dims[2];
    const size_t channels = x->dims[3];
    const size_t taps = w->dims[2];
    const int8_t *image = (const int8_t *)x->data + batch * (x->count / x->dims[0]);
    const uint32_t filler = 0x01010101u * (uint8_t)x->zero_point;
    const span s = span_of(ix0, (int32_t)taps, width, channels);
    for (uint32_t ky = w->dims[1]; ky != 0; ky--) {
        if (iy < 0 || iy >= height) {
            ek_fill_bytes(patch, filler, taps * channels);
            patch += taps * channels;
        } else if (step_w == 1) {
            ek_fill_bytes(patch, filler, s.left);
            patch += s.left;
            if (s.inside != 0) {
                const int32_t start = (iy * width + ix0) * (int32_t)channels;
                ek_copy_bytes(patch, image + (start + (int32_t)s.left), s.inside);
                patch += s.inside;
            }
            ek_fill_bytes(patch, filler, s.right);
            patch += s.right;
        } else {
            const int8_t *row = image + (size_t)iy * (size_t)width * channels;
            int32_t ix = ix0;
            for (size_t kx = taps; kx != 0; kx--) {
                if (ix < 0 || ix >= width) {
                    ek_fill_bytes(patch, filler, channels);
                } else {
                    ek_copy_bytes(patch, row + (size_t)ix * channels, channels);
                }
                patch += channels;
                ix += step_w;
            }
        }
        iy += step_h;
    }
}

void ek_conv_2d_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const ek_matmul m = {
        .weights = (const int8_t *)w->data,
        .requant = call->tensors[2].data,
        .requant_stride = 12,
        .n = w->dims[0],
        .k = w->count / w->dims[0],
        .y_zero_point = y->zero_point,
        .y_min = ek_param(call, Y_MIN),
        .y_max = ek_param(call, Y_MAX),
        .rounding = ek_param(call, ROUNDING),
        .x = (const int8_t *)x->data,
        .gather = is_pointwise(call) ? NULL : gather,
        .call = call,
        .scratch = call->scratch,
    };
    ek_matmul_s8(&m, y->count / m.n, (int8_t *)y->write);
}
