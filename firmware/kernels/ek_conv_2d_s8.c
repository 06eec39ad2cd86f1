/* x [N, H, W, C], w [M, KH, KW, C], requant int32 [M, 3], y [N, OH, OW, M].
 * Params: stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, y_min, y_max, rounding.
 * Scratch: two gathered patches of KH * KW * C bytes, none for 1x1 with stride 1 and no padding.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/conv.h, ConvPerChannel.
 * Twin: edgekit/ops/conv.py, CONV_2D. */
#include "ek_fixed.h"
#include "ek_kernel.h"
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

ek_status ek_conv_2d_s8_check(const ek_call *call, uint32_t *scratch_bytes) {
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
    *scratch_bytes = is_pointwise(call) ? 0 : 2u * (w->count / w->dims[0]);
    return EK_OK;
}

/* Copies the patch under one output pixel, filling what lies outside with the zero point. */
static void gather(const ek_call *call, const int8_t *image, int32_t iy0, int32_t ix0,
                   int8_t *patch) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const int32_t height = (int32_t)x->dims[1];
    const int32_t width = (int32_t)x->dims[2];
    const size_t channels = x->dims[3];
    const int32_t step_h = ek_param(call, DILATION_H);
    const int32_t step_w = ek_param(call, DILATION_W);
    for (uint32_t ky = 0; ky < w->dims[1]; ky++) {
        int32_t iy = iy0 + (int32_t)ky * step_h;
        if (iy < 0 || iy >= height) {
            memset(patch, x->zero_point, w->dims[2] * channels);
            patch += w->dims[2] * channels;
            continue;
        }
        const int8_t *row = image + (size_t)iy * (size_t)width * channels;
        int32_t last = ix0 + ((int32_t)w->dims[2] - 1) * step_w;
        if (step_w == 1 && ix0 >= 0 && last < width) {
            memcpy(patch, row + (size_t)ix0 * channels, w->dims[2] * channels);
            patch += w->dims[2] * channels;
            continue;
        }
        int32_t ix = ix0;
        for (uint32_t kx = 0; kx < w->dims[2]; kx++) {
            if (ix < 0 || ix >= width) {
                memset(patch, x->zero_point, channels);
            } else {
                memcpy(patch, row + (size_t)ix * channels, channels);
            }
            patch += channels;
            ix += step_w;
        }
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
    };
    const int8_t *image = (const int8_t *)x->data;
    int8_t *out = (int8_t *)y->write;
    if (is_pointwise(call)) {
        ek_matmul_s8(&m, image, y->count / m.n, out);
        return;
    }
    const int32_t stride_h = ek_param(call, STRIDE_H);
    const int32_t stride_w = ek_param(call, STRIDE_W);
    int8_t *patches = (int8_t *)call->scratch;
    uint32_t gathered = 0;
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        int32_t iy = -ek_param(call, PAD_TOP);
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            int32_t ix = -ek_param(call, PAD_LEFT);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                gather(call, image, iy, ix, patches + (size_t)gathered * m.k);
                gathered++;
                if (gathered == 2) {
                    ek_matmul_s8(&m, patches, 2, out);
                    out += 2 * (size_t)m.n;
                    gathered = 0;
                }
                ix += stride_w;
            }
            iy += stride_h;
        }
        image += x->count / x->dims[0];
    }
    if (gathered != 0) {
        ek_matmul_s8(&m, patches, 1, out);
    }
}
