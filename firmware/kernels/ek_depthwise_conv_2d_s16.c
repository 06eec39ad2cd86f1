/* x int16 [N, H, W, C], w int8 [1, KH, KW, C * D], requant int32 [C * D, 4] (bias, 48 bits as two
 * words; multiplier, 15 bits; shift), y int16 [N, OH, OW, C * D]. All zero points are 0. Params:
 * stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, y_min, y_max. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h,
 * DepthwiseConvPerChannel of int16_t. Twin: edgekit/ops/wide_dense.py, DEPTHWISE_CONV_2D_S16. */
#include "ek_wide.h"

enum { STRIDE_H, STRIDE_W, DILATION_H, DILATION_W, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, PARAMS };

ek_status ek_depthwise_conv_2d_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_has(call, 3, 1, PARAMS, EK_S16) || w->type != EK_S8 || w->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (x->rank != 4 || w->rank != 4 || y->rank != 4 || w->dims[0] != 1 ||
        w->dims[3] % x->dims[3] != 0 || y->dims[3] != w->dims[3] || y->dims[0] != x->dims[0] ||
        w->count / w->dims[3] > EK_MAX_TERMS || x->count > EK_MAX_INDEX ||
        y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_16_ok(call, Y_MIN) ||
        !ek_wide_rows_ok(&call->tensors[2], w->dims[3], INT16_MAX) ||
        !ek_window_ok(call, y, w->dims[1], w->dims[2], STRIDE_H, PAD_TOP)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

/* Sum of products of input channel c with output channel m of the window that begins at (iy, ix).
 */
static int64_t window(const ek_call *call, const int16_t *image, int32_t iy, int32_t ix, uint32_t c,
                      uint32_t m) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const int32_t height = (int32_t)x->dims[1];
    const int32_t width = (int32_t)x->dims[2];
    const int8_t *tap = (const int8_t *)w->data + m;
    int64_t sum = 0;
    for (uint32_t ky = w->dims[1]; ky != 0; ky--) {
        int32_t at = ix;
        for (uint32_t kx = w->dims[2]; kx != 0; kx--) {
            if (iy >= 0 && iy < height && at >= 0 && at < width) {
                sum += image[(size_t)(iy * width + at) * x->dims[3] + c] * *tap;
            }
            tap += w->dims[3];
            at += ek_param(call, DILATION_W);
        }
        iy += ek_param(call, DILATION_H);
    }
    return sum;
}

void ek_depthwise_conv_2d_s16(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const uint32_t depth = w->dims[3] / x->dims[3];
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    const int16_t *image = ek_s16(x);
    int16_t *out = ek_s16_write(y);
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            const int32_t iy = (int32_t)oy * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                const int32_t ix =
                    (int32_t)ox * ek_param(call, STRIDE_W) - ek_param(call, PAD_LEFT);
                const uint8_t *requant = call->tensors[2].data;
                for (uint32_t m = 0; m < w->dims[3]; m++) {
                    const int64_t sum = window(call, image, iy, ix, m / depth, m);
                    *out++ = ek_wide_finish(requant, sum, y_min, y_max);
                    requant += EK_WIDE_ROW_BYTES;
                }
            }
        }
        image += x->count / x->dims[0];
    }
}
