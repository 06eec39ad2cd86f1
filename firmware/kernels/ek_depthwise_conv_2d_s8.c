/* x [N, H, W, C], w [1, KH, KW, C * D], requant int32 [C * D, 3], y [N, OH, OW, C * D]; output
 * channel c * D + d reads input channel c. Params: stride_h, stride_w, dilation_h, dilation_w,
 * pad_top, pad_left, y_min, y_max, rounding. Scratch: one gathered patch of KH * KW * C bytes, if a
 * window crosses the border. Source:
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h, DepthwiseConvPerChannel.
 * Twin: edgekit/ops/conv.py, DEPTHWISE_CONV_2D. */
#include "ek_fixed.h"
#include "ek_kernel.h"

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

/* One window: where it starts and how far its rows and columns lie apart, in elements. */
typedef struct window {
    const int8_t *start;
    size_t row_step;
    size_t column_step;
} window;

/* True if no window crosses the border. */
static int is_inside(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    for (uint32_t i = 0; i < 2; i++) {
        int64_t last = (int64_t)(y->dims[1 + i] - 1) * ek_param(call, STRIDE_H + i) +
                       (int64_t)(w->dims[1 + i] - 1) * ek_param(call, DILATION_H + i);
        if (ek_param(call, PAD_TOP + i) != 0 || last >= (int64_t)x->dims[1 + i]) {
            return 0;
        }
    }
    return 1;
}

ek_status ek_depthwise_conv_2d_s8_check(const ek_call *call, uint32_t *scratch_bytes) {
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
    *scratch_bytes = is_inside(call) ? 0 : w->dims[1] * w->dims[2] * x->dims[3];
    return EK_OK;
}

static void gather(const ek_call *call, const int8_t *image, int32_t iy0, int32_t ix0,
                   int8_t *patch) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const size_t channels = x->dims[3];
    int32_t iy = iy0;
    for (uint32_t ky = 0; ky < w->dims[1]; ky++) {
        int32_t ix = ix0;
        for (uint32_t kx = 0; kx < w->dims[2]; kx++) {
            if (iy < 0 || iy >= (int32_t)x->dims[1] || ix < 0 || ix >= (int32_t)x->dims[2]) {
                memset(patch, x->zero_point, channels);
            } else {
                memcpy(patch, image + ((size_t)iy * x->dims[2] + (size_t)ix) * channels, channels);
            }
            patch += channels;
            ix += ek_param(call, DILATION_W);
        }
        iy += ek_param(call, DILATION_H);
    }
}

static inline int8_t finish(const uint8_t *requant, int32_t sum, int32_t single, ek_output out) {
    const int32_t multiplier = ek_get_i32(requant + 4);
    const int32_t shift = ek_get_i32(requant + 8);
    sum = ek_add_wrap(sum, ek_get_i32(requant));
    return single ? ek_finish_single(sum, multiplier, shift, out)
                  : ek_finish_double(sum, multiplier, shift, out);
}

static ek_output output_of(const ek_call *call) {
    const ek_output out = {call->tensors[3].zero_point, ek_param(call, Y_MIN),
                           ek_param(call, Y_MAX)};
    return out;
}

/* One pixel, one output channel per input channel: four channels at a time. */
static void pixel(const ek_call *call, const window *v, int8_t *y) {
    const ek_tensor *w = &call->tensors[1];
    const ek_output out = output_of(call);
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
static void pixel_multiplied(const ek_call *call, const window *v, int8_t *y) {
    const ek_tensor *w = &call->tensors[1];
    const ek_output out = output_of(call);
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
    const window inside = {NULL, (size_t)step_h * line, (size_t)step_w * channels};
    const window border = {(const int8_t *)call->scratch, w->dims[2] * channels, channels};
    const int8_t *image = (const int8_t *)x->data;
    int8_t *out = (int8_t *)y->write;
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        int32_t iy = -ek_param(call, PAD_TOP);
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            int32_t ix = -ek_param(call, PAD_LEFT);
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                window v = inside;
                if (iy >= 0 && ix >= 0 && iy <= last_y && ix <= last_x) {
                    v.start = image + (size_t)iy * line + (size_t)ix * channels;
                } else {
                    gather(call, image, iy, ix, (int8_t *)call->scratch);
                    v = border;
                }
                if (w->dims[3] == x->dims[3]) {
                    pixel(call, &v, out);
                } else {
                    pixel_multiplied(call, &v, out);
                }
                out += w->dims[3];
                ix += ek_param(call, STRIDE_W);
            }
            iy += ek_param(call, STRIDE_H);
        }
        image += x->count / x->dims[0];
    }
}
