#include "ek_window_s8.h"

static inline int8_t finish(const uint8_t *requant, int32_t sum, int32_t single, ek_output out) {
    const int32_t multiplier = ek_get_i32(requant + 4);
    const int32_t shift = ek_get_i32(requant + 8);
    sum = ek_add_wrap(sum, ek_get_i32(requant));
    return single ? ek_finish_single(sum, multiplier, shift, out)
                  : ek_finish_double(sum, multiplier, shift, out);
}

uint32_t ek_window_scratch_bytes(const ek_call *call, const ek_tensor *y) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    int inside = 1;
    for (uint32_t i = 0; i < 2; i++) {
        int64_t last = (int64_t)(y->dims[1 + i] - 1) * ek_param(call, STRIDE_H + i) +
                       (int64_t)(w->dims[1 + i] - 1) * ek_param(call, DILATION_H + i);
        if (ek_param(call, PAD_TOP + i) != 0 || last >= (int64_t)x->dims[1 + i]) {
            inside = 0;
        }
    }
    return inside ? 0 : w->dims[1] * w->dims[2] * x->dims[3];
}

void ek_window_patch_s8(const ek_call *call, const int8_t *image, int32_t iy0, int32_t ix0,
                        int8_t *patch) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const size_t channels = x->dims[3];
    const uint32_t filler = 0x01010101u * (uint8_t)x->zero_point;
    int32_t iy = iy0;
    for (uint32_t ky = 0; ky < w->dims[1]; ky++) {
        int32_t ix = ix0;
        for (uint32_t kx = 0; kx < w->dims[2]; kx++) {
            if (iy < 0 || iy >= (int32_t)x->dims[1] || ix < 0 || ix >= (int32_t)x->dims[2]) {
                ek_fill_bytes(patch, filler, channels);
            } else {
                ek_copy_bytes(patch, image + ((size_t)iy * x->dims[2] + (size_t)ix) * channels,
                              channels);
            }
            patch += channels;
            ix += ek_param(call, DILATION_W);
        }
        iy += ek_param(call, DILATION_H);
    }
}

/* One pixel, one output channel per input channel: four channels at a time. */
void ek_window_s8(const ek_call *call, const ek_window *v, const ek_output *to, int8_t *y) {
    const ek_tensor *w = &call->tensors[1];
    const ek_output out = *to;
    const int32_t single = ek_param(call, ROUNDING) == EK_ROUND_SINGLE;
    const uint32_t kernel_h = w->dims[1];
    const uint32_t kernel_w = w->dims[2];
    const uint32_t channels = w->dims[3];
    const ptrdiff_t column_step = (ptrdiff_t)v->column_step;
    const ptrdiff_t row_step = (ptrdiff_t)v->row_step - (ptrdiff_t)kernel_w * column_step;
    const uint8_t *requant = call->tensors[2].data;
    uint32_t c = 0;
    for (; c + 4 <= channels; c += 4) {
        const int8_t *taps = (const int8_t *)w->data + c;
        const int8_t *p = v->start + c;
        int32_t s0 = 0;
        int32_t s1 = 0;
        int32_t s2 = 0;
        int32_t s3 = 0;
        for (uint32_t ky = kernel_h; ky != 0; ky--) {
            for (uint32_t kx = kernel_w; kx != 0; kx--) {
                s0 += p[0] * taps[0];
                s1 += p[1] * taps[1];
                s2 += p[2] * taps[2];
                s3 += p[3] * taps[3];
                p += column_step;
                taps += channels;
            }
            p += row_step;
        }
        y[0] = finish(requant, s0, single, out);
        y[1] = finish(requant + 12, s1, single, out);
        y[2] = finish(requant + 24, s2, single, out);
        y[3] = finish(requant + 36, s3, single, out);
        y += 4;
        requant += 48;
    }
    for (; c < channels; c++) {
        const int8_t *taps = (const int8_t *)w->data + c;
        const int8_t *p = v->start + c;
        int32_t sum = 0;
        for (uint32_t ky = kernel_h; ky != 0; ky--) {
            for (uint32_t kx = kernel_w; kx != 0; kx--) {
                sum += *p * *taps;
                p += column_step;
                taps += channels;
            }
            p += row_step;
        }
        *y++ = finish(requant, sum, single, out);
        requant += 12;
    }
}

/* One pixel, several output channels per input channel. */
void ek_window_multiplied_s8(const ek_call *call, const ek_window *v, const ek_output *to,
                             int8_t *y) {
    const ek_tensor *w = &call->tensors[1];
    const ek_output out = *to;
    const int32_t single = ek_param(call, ROUNDING) == EK_ROUND_SINGLE;
    const uint32_t outputs = w->dims[3];
    const uint32_t multiplier = outputs / call->tensors[0].dims[3];
    const uint8_t *requant = call->tensors[2].data;
    const int8_t *start = v->start;
    uint32_t repeat = 0;
    for (uint32_t c = 0; c < outputs; c++) {
        const int8_t *taps = (const int8_t *)w->data + c;
        const int8_t *row = start;
        int32_t sum = 0;
        for (uint32_t ky = w->dims[1]; ky != 0; ky--) {
            const int8_t *p = row;
            for (uint32_t kx = w->dims[2]; kx != 0; kx--) {
                sum += *p * *taps;
                p += v->column_step;
                taps += outputs;
            }
            row += v->row_step;
        }
        *y++ = finish(requant, sum, single, out);
        requant += 12;
        repeat++;
        if (repeat == multiplier) {
            repeat = 0;
            start++;
        }
    }
}
