/* x int16 [N, H, W, C], y int16 [N, OH, OW, C]; what lies outside does not count.
 * Params: stride_h, stride_w, filter_h, filter_w, pad_top, pad_left, y_min, y_max. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h, AveragePool.
 * Twin: edgekit/ops/wide.py, AVERAGE_POOL_2D_S16. */
#include "ek_wide.h"

enum { STRIDE_H, STRIDE_W, FILTER_H, FILTER_W, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, PARAMS };

ek_status ek_average_pool_2d_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    if (!ek_call_has(call, 1, 1, PARAMS, EK_S16) || x->rank != 4 || y->rank != 4 ||
        x->dims[0] != y->dims[0] || x->dims[3] != y->dims[3] || x->count > EK_MAX_INDEX ||
        y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_16_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    if (!ek_window_ok(call, y, 1, 1, STRIDE_H, PAD_TOP) ||
        ek_param(call, FILTER_H) * ek_param(call, FILTER_W) > (int32_t)EK_MAX_TERMS / 2) {
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

/* Cuts [start, start + length) to [0, limit); returns what is left. */
static uint32_t cut(int32_t *start, int32_t length, int32_t limit) {
    int32_t end = *start + length;
    end = end > limit ? limit : end;
    *start = *start < 0 ? 0 : *start;
    return end > *start ? (uint32_t)(end - *start) : 0;
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
            uint32_t rows = cut(&iy, ek_param(call, FILTER_H), (int32_t)x->dims[1]);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                int32_t ix = (int32_t)ox * ek_param(call, STRIDE_W) - ek_param(call, PAD_LEFT);
                uint32_t columns = cut(&ix, ek_param(call, FILTER_W), (int32_t)x->dims[2]);
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
