/* x [N, H, W, C], w [M, KH, KW, C], requant int32 [M, 3], y [N, OH, OW, M]: x at (i, j) adds to the
 * outputs from (i * stride_h - pad_top, j * stride_w - pad_left) on. The bias is the model's: the
 * zero point of x is subtracted here. Params: stride_h, stride_w, pad_top, pad_left, y_min, y_max,
 * rounding. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/transpose_conv.h.
 * Twin: edgekit/ops/transpose_conv.py, TRANSPOSE_CONV. */
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { STRIDE_H, STRIDE_W, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, ROUNDING, PARAMS };

/* The taps of one dimension that reach an output: from kernel index first on, every stride-th, and
 * the element that the first of them multiplies; the next multiplies the element before. */
typedef struct taps {
    uint32_t first;
    uint32_t count;
    uint32_t element;
} taps;

ek_status ek_transpose_conv_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || w->type != EK_S8 || w->constant == 0 || x->rank != 4 ||
        w->rank != 4 || y->rank != 4 || w->dims[3] != x->dims[3] || y->dims[3] != w->dims[0] ||
        y->dims[0] != x->dims[0] || w->count / w->dims[0] > EK_MAX_TERMS ||
        x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 2, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1) ||
        !ek_requant_rows_ok(&call->tensors[2], w->dims[0])) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

static taps taps_of(uint32_t position, uint32_t stride, uint32_t kernel, uint32_t size) {
    taps t = {position % stride, 0, position / stride};
    if (t.element >= size) {
        t.first += (t.element - (size - 1)) * stride;
        t.element = size - 1;
    }
    if (t.first < kernel) {
        t.count = (kernel - 1 - t.first) / stride + 1;
        t.count = t.count > t.element + 1 ? t.element + 1 : t.count;
    }
    return t;
}

/* The sum of one output: of the taps v along the height and h along the width. */
static int32_t sum_of(const ek_call *call, const int8_t *image, const int8_t *w, taps v, taps h) {
    const ek_tensor *x = &call->tensors[0];
    const size_t channels = x->dims[3];
    const size_t kernel_w = call->tensors[1].dims[2];
    const size_t stride_h = (size_t)ek_param(call, STRIDE_H);
    const size_t stride_w = (size_t)ek_param(call, STRIDE_W);
    const int32_t zero_point = x->zero_point;
    int32_t sum = 0;
    for (uint32_t i = 0; i < v.count; i++) {
        const int8_t *line = image + (size_t)(v.element - i) * x->dims[2] * channels;
        const int8_t *row = w + (v.first + i * stride_h) * kernel_w * channels;
        for (uint32_t j = 0; j < h.count; j++) {
            const int8_t *p = line + (size_t)(h.element - j) * channels;
            const int8_t *q = row + (h.first + j * stride_w) * channels;
            for (size_t c = channels; c != 0; c--) {
                sum += (*p++ - zero_point) * *q++;
            }
        }
    }
    return sum;
}

static void pixel(const ek_call *call, const int8_t *image, taps v, taps h, int8_t *y) {
    const ek_tensor *w = &call->tensors[1];
    const ek_output out = {call->tensors[3].zero_point, ek_param(call, Y_MIN),
                           ek_param(call, Y_MAX)};
    const size_t size = w->count / w->dims[0];
    const int8_t *weights = (const int8_t *)w->data;
    const uint8_t *requant = call->tensors[2].data;
    for (uint32_t m = w->dims[0]; m != 0; m--) {
        int32_t sum = ek_add_wrap(sum_of(call, image, weights, v, h), ek_get_i32(requant));
        int32_t multiplier = ek_get_i32(requant + 4);
        int32_t shift = ek_get_i32(requant + 8);
        *y++ = ek_param(call, ROUNDING) == EK_ROUND_SINGLE
                   ? ek_finish_single(sum, multiplier, shift, out)
                   : ek_finish_double(sum, multiplier, shift, out);
        weights += size;
        requant += 12;
    }
}

void ek_transpose_conv_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const uint32_t stride_h = (uint32_t)ek_param(call, STRIDE_H);
    const uint32_t stride_w = (uint32_t)ek_param(call, STRIDE_W);
    const uint32_t top = (uint32_t)ek_param(call, PAD_TOP);
    const uint32_t left = (uint32_t)ek_param(call, PAD_LEFT);
    const int8_t *image = (const int8_t *)x->data;
    int8_t *out = (int8_t *)y->write;
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            const taps v = taps_of(oy + top, stride_h, w->dims[1], x->dims[1]);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                const taps h = taps_of(ox + left, stride_w, w->dims[2], x->dims[2]);
                pixel(call, image, v, h, out);
                out += w->dims[0];
            }
        }
        image += x->count / x->dims[0];
    }
}
