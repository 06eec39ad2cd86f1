/* x int16 [N, H, W, C], y int16 [N, OH, OW, C]; what lies outside does not count.
 * Params: stride_h, stride_w, filter_h, filter_w, pad_top, pad_left, y_min, y_max. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h, AveragePool.
 * Twin: edgekit/ops/wide.py, AVERAGE_POOL_2D_S16. */
#include "ek_pool.h"
#include "ek_wide.h"

ek_status ek_average_pool_2d_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_pool_shapes_ok(call, EK_S16)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_pool_windows_ok(call, (int32_t)EK_MAX_TERMS / 2) || !ek_clamp_16_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

/* One output pixel from the rows and columns of the window that lie inside. */
static void pixel(const ek_call *call, const int16_t *start, uint32_t rows, uint32_t columns,
                  int16_t *y) {
    const ek_tensor *x = &call->tensors[0];
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    const int32_t count = (int32_t)(rows * columns);
    const int32_t half = count / 2;
    for (size_t c = 0; c < channels; c++) {
        const int16_t *row = start + c;
        int32_t sum = 0;
        for (uint32_t r = rows; r != 0; r--) {
            const int16_t *p = row;
            for (uint32_t i = columns; i != 0; i--) {
                sum += *p;
                p += channels;
            }
            row += line;
        }
        sum = (sum > 0 ? sum + half : sum - half) / count;
        *y++ = ek_clamp_s16(sum, y_min, y_max);
    }
}

void ek_average_pool_2d_s16(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const size_t channels = x->dims[3];
    const int16_t *image = ek_s16(x);
    int16_t *out = ek_s16_write(y);
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            int32_t iy = (int32_t)oy * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP);
            uint32_t rows = ek_pool_cut(&iy, ek_param(call, FILTER_H), (int32_t)x->dims[1]);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                int32_t ix = (int32_t)ox * ek_param(call, STRIDE_W) - ek_param(call, PAD_LEFT);
                uint32_t columns = ek_pool_cut(&ix, ek_param(call, FILTER_W), (int32_t)x->dims[2]);
                if (rows == 0 || columns == 0) {
                    memset(out, 0, 2 * channels);
                } else {
                    const int16_t *start =
                        image + ((size_t)iy * x->dims[2] + (size_t)ix) * channels;
                    pixel(call, start, rows, columns, out);
                }
                out += channels;
            }
        }
        image += x->count / x->dims[0];
    }
}
