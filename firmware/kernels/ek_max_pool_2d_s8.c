/* x [N, H, W, C], y [N, OH, OW, C]; what lies outside does not count.
 * Params: stride_h, stride_w, filter_h, filter_w, pad_top, pad_left, y_min, y_max. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h, MaxPool.
 * Twin: edgekit/ops/pool.py, MAX_POOL_2D. */
#include "ek_fixed.h"
#include "ek_kernel.h"
#include "ek_lead.h"
#include "ek_pool.h"

ek_status ek_max_pool_2d_s8_check(const ek_call *call, ek_need *need) {
    if (!ek_pool_shapes_ok(call, EK_S8)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_pool_windows_ok(call, (int32_t)EK_MAX_TERMS) || !ek_clamp_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    need->lead = ek_window_lead(call, &call->tensors[0], &call->tensors[1], STRIDE_H, PAD_TOP);
    return EK_OK;
}

/* One output pixel from the rows and columns of the window that lie inside. */
static void pixel(const ek_call *call, const int8_t *start, uint32_t rows, uint32_t columns,
                  int8_t *y) {
    const ek_tensor *x = &call->tensors[0];
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    for (size_t c = 0; c < channels; c++) {
        const int8_t *row = start + c;
        int32_t best = -128;
        for (uint32_t r = rows; r != 0; r--) {
            const int8_t *p = row;
            for (uint32_t i = columns; i != 0; i--) {
                best = *p > best ? *p : best;
                p += channels;
            }
            row += line;
        }
        *y++ = ek_clamp_s8(best, y_min, y_max);
    }
}

void ek_max_pool_2d_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const size_t channels = x->dims[3];
    const int8_t *image = (const int8_t *)x->data;
    int8_t *out = (int8_t *)y->write;
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            int32_t iy = (int32_t)oy * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP);
            uint32_t rows = ek_pool_cut(&iy, ek_param(call, FILTER_H), (int32_t)x->dims[1]);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                int32_t ix = (int32_t)ox * ek_param(call, STRIDE_W) - ek_param(call, PAD_LEFT);
                uint32_t columns = ek_pool_cut(&ix, ek_param(call, FILTER_W), (int32_t)x->dims[2]);
                if (rows == 0 || columns == 0) {
                    memset(out, x->zero_point, channels);
                } else {
                    const int8_t *start = image + ((size_t)iy * x->dims[2] + (size_t)ix) * channels;
                    pixel(call, start, rows, columns, out);
                }
                out += channels;
            }
        }
        image += x->count / x->dims[0];
    }
}
