/* DEPTHWISE_CONV_2D with the vector instructions of x86-64: 8 channels at a time, two taps per
 * product, row after row. What does not fit runs as the portable kernel does. */
#define ek_depthwise_conv_2d_s8 ek_depthwise_conv_2d_portable_s8
#include "../../ek_depthwise_conv_2d_s8.c"
#undef ek_depthwise_conv_2d_s8

#include "ek_finish_avx2.h"

enum { CHANNELS = 8, GROUPS = CHANNELS / EK_DOT_COLUMNS, MOST_TAPS = 64 };

/* Constants of 8 channels. */
typedef struct strip {
    __m256i w[MOST_TAPS / 2]; /* per channel the weights of two taps */
    ek_dot_output out[GROUPS];
    size_t pairs;
} strip;

/* Per channel one value of a and one of b. */
EK_AVX2 static inline __m256i load_pairs(const int8_t *a, const int8_t *b) {
    const __m128i first = _mm_loadl_epi64((const __m128i *)(const void *)a);
    const __m128i second = _mm_loadl_epi64((const __m128i *)(const void *)b);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second));
}

/* Prepares channels [first, first + 8). */
EK_AVX2 static void prepare(const ek_call *call, size_t first, strip *s) {
    const ek_tensor *w = &call->tensors[1];
    const size_t taps = (size_t)w->dims[1] * w->dims[2];
    const int8_t *weights = (const int8_t *)w->data + first;
    for (size_t i = 0; i < CHANNELS; i++) {
        const uint8_t *requant = call->tensors[2].data + 12 * (first + i);
        (void)ek_dot_output_set(&s->out[i / EK_DOT_COLUMNS], i % EK_DOT_COLUMNS,
                                ek_get_i32(requant), ek_get_i32(requant + 4),
                                ek_get_i32(requant + 8), ek_param(call, ROUNDING));
    }
    for (size_t i = 0; i < GROUPS; i++) {
        s->out[i].zero_point = call->tensors[3].zero_point;
        s->out[i].low = ek_param(call, Y_MIN);
        s->out[i].high = ek_param(call, Y_MAX);
    }
    s->pairs = (taps + 1) / 2;
    for (size_t i = 0; i < s->pairs; i++) {
        const int8_t *pair = weights + 2 * i * w->dims[3];
        const int8_t none[CHANNELS] = {0};
        s->w[i] = load_pairs(pair, 2 * i + 1 < taps ? pair + w->dims[3] : none);
    }
}

/* taps: where the 8 channels of each tap of a pixel lie, 2 * pairs of them. */
EK_AVX2 static inline void one_pixel(const strip *s, const int8_t *const *taps, int8_t *y) {
    __m256i sums = _mm256_setzero_si256();
    for (size_t i = 0; i < s->pairs; i++) {
        const __m256i x = load_pairs(taps[2 * i], taps[2 * i + 1]);
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, s->w[i]));
    }
    const int32_t bytes[GROUPS] = {
        ek_finish_four(&s->out[0], _mm256_castsi256_si128(sums)),
        ek_finish_four(&s->out[1], _mm256_extracti128_si256(sums, 1)),
    };
    memcpy(y, bytes, sizeof bytes);
}

/* Finds the taps of one pixel; those outside the image read `filler`. */
static void find_taps(const ek_call *call, const int8_t *image, int32_t iy0, int32_t ix0,
                      const int8_t *filler, const int8_t **taps) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const size_t channels = x->dims[3];
    size_t t = 0;
    int32_t iy = iy0;
    for (uint32_t ky = w->dims[1]; ky != 0; ky--) {
        int32_t ix = ix0;
        const int inside = iy >= 0 && iy < (int32_t)x->dims[1];
        for (uint32_t kx = w->dims[2]; kx != 0; kx--) {
            taps[t] = filler;
            if (inside && ix >= 0 && ix < (int32_t)x->dims[2]) {
                taps[t] = image + ((size_t)iy * x->dims[2] + (size_t)ix) * channels;
            }
            t++;
            ix += ek_param(call, DILATION_W);
        }
        iy += ek_param(call, DILATION_H);
    }
    taps[t] = filler;
}

/* One row of output, channels [first, first + 8). */
EK_AVX2 static void one_row(const ek_call *call, const strip *s, const int8_t *image, int32_t iy,
                            int8_t *y) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[3];
    const int32_t step = ek_param(call, STRIDE_W);
    const int32_t reach_h = (int32_t)(w->dims[1] - 1) * ek_param(call, DILATION_H);
    const int32_t reach_w = (int32_t)(w->dims[2] - 1) * ek_param(call, DILATION_W);
    const int rows_inside = iy >= 0 && iy + reach_h < (int32_t)x->dims[1];
    const size_t channels = x->dims[3];
    const size_t taps = (size_t)w->dims[1] * w->dims[2];
    const int8_t *at[MOST_TAPS + 1];
    int8_t filler[CHANNELS];
    int32_t ix = -ek_param(call, PAD_LEFT);
    int moves = 0; /* if `at` holds the taps of the pixel before, all inside */
    memset(filler, x->zero_point, sizeof filler);
    for (uint32_t ox = ty->dims[2]; ox != 0; ox--) {
        const int inside = rows_inside && ix >= 0 && ix + reach_w < (int32_t)x->dims[2];
        if (inside && moves) {
            for (size_t t = 0; t < taps; t++) {
                at[t] += (size_t)step * channels;
            }
        } else {
            find_taps(call, image, iy, ix, filler, at);
        }
        moves = inside;
        one_pixel(s, at, y);
        y += channels;
        ix += step;
    }
}

/* True if every sum is shifted to the right. */
static int shifts_fit(const ek_call *call) {
    for (uint32_t c = 0; c < call->tensors[3].dims[3]; c++) {
        if (ek_get_i32(call->tensors[2].data + 12 * (size_t)c + 8) > -1) {
            return 0;
        }
    }
    return 1;
}

EK_AVX2 static void all_rows(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[3];
    const size_t channels = x->dims[3];
    const size_t row_bytes = y->dims[2] * channels;
    strip s;
    for (uint32_t row = 0; row < y->dims[0] * y->dims[1]; row++) {
        const uint32_t batch = row / y->dims[1];
        const int8_t *image = (const int8_t *)x->data + batch * (size_t)(x->count / x->dims[0]);
        const int32_t iy =
            (int32_t)(row % y->dims[1]) * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP);
        for (size_t c = 0; c < channels; c += CHANNELS) {
            /* The last 8 may be some of those before. */
            const size_t first = c + CHANNELS <= channels ? c : channels - CHANNELS;
            prepare(call, first, &s);
            one_row(call, &s, image + first, iy, (int8_t *)y->write + row * row_bytes + first);
        }
    }
}

void ek_depthwise_conv_2d_s8(const ek_call *call) {
    const ek_tensor *w = &call->tensors[1];
    if (ek_dot_choose() != NULL && w->dims[3] == call->tensors[0].dims[3] &&
        w->dims[3] >= CHANNELS && w->count / w->dims[3] <= MOST_TAPS && shifts_fit(call)) {
        all_rows(call);
    } else {
        ek_depthwise_conv_2d_portable_s8(call);
    }
}
