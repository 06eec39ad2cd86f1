/* DEPTHWISE_CONV_2D with the vector instructions of x86-64: 8 channels at a time, two taps per
 * product, row after row. What does not fit runs as the portable kernel does. */
#define ek_depthwise_conv_2d_s8 ek_depthwise_conv_2d_portable_s8
#include "../../ek_depthwise_conv_2d_s8.c"
#undef ek_depthwise_conv_2d_s8

#include "ek_finish_avx2.h"

enum { CHANNELS = 8, MOST_TAPS = 64, MOST_STRIPS = 128, BAND_BYTES = 1 << 17 };

/* Constants of 8 channels. */
typedef struct strip {
    __m256i w[MOST_TAPS / 2]; /* per channel the weights of two taps */
    ek_dot_output out;
    size_t first; /* channel */
} strip;

/* The lines of x under one row of output, as wide as its taps reach; what lies outside the image
 * is filled. */
typedef struct band {
    size_t width;         /* pixels of a line */
    size_t at[MOST_TAPS]; /* of each tap under the first pixel, in bytes; even in number */
    int8_t data[BAND_BYTES];
} band;

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
        (void)ek_dot_output_set(&s->out, i, ek_get_i32(requant), ek_get_i32(requant + 4),
                                ek_get_i32(requant + 8), ek_param(call, ROUNDING));
    }
    s->out.zero_point = call->tensors[3].zero_point;
    s->out.low = ek_param(call, Y_MIN);
    s->out.high = ek_param(call, Y_MAX);
    s->first = first;
    for (size_t i = 0; 2 * i < taps; i++) {
        const int8_t *pair = weights + 2 * i * w->dims[3];
        const int8_t none[CHANNELS] = {0};
        s->w[i] = load_pairs(pair, 2 * i + 1 < taps ? pair + w->dims[3] : none);
    }
}

/* Pixels that one row of output reaches over. */
static size_t band_width(const ek_call *call) {
    return (size_t)(call->tensors[3].dims[2] - 1) * (size_t)ek_param(call, STRIDE_W) +
           (size_t)(call->tensors[1].dims[2] - 1) * (size_t)ek_param(call, DILATION_W) + 1;
}

static void prepare_band(const ek_call *call, band *b) {
    const ek_tensor *w = &call->tensors[1];
    const size_t channels = w->dims[3];
    size_t tap = 0;
    b->width = band_width(call);
    for (size_t ky = 0; ky < w->dims[1]; ky++) {
        for (size_t kx = 0; kx < w->dims[2]; kx++) {
            b->at[tap++] = (ky * b->width + kx * (size_t)ek_param(call, DILATION_W)) * channels;
        }
    }
    if (tap % 2 != 0) {
        b->at[tap] = 0; /* its weights are 0 */
    }
}

/* Copies the lines from `iy` on; pixels outside the image become the zero point. */
static void fill_band(const ek_call *call, const int8_t *image, int32_t iy, band *b) {
    const ek_tensor *x = &call->tensors[0];
    const size_t channels = x->dims[3];
    const size_t line = b->width * channels;
    const size_t pad = (size_t)ek_param(call, PAD_LEFT) * channels;
    const size_t left = pad < line ? pad : line;
    const size_t stored = x->dims[2] * channels;
    const size_t inside = line - left < stored ? line - left : stored;
    int8_t *to = b->data;
    for (uint32_t ky = call->tensors[1].dims[1]; ky != 0; ky--) {
        if (iy < 0 || iy >= (int32_t)x->dims[1]) {
            memset(to, x->zero_point, line);
        } else {
            memset(to, x->zero_point, left);
            memcpy(to + left, image + (size_t)iy * stored, inside);
            memset(to + left + inside, x->zero_point, line - left - inside);
        }
        to += line;
        iy += ek_param(call, DILATION_H);
    }
}

/* One row of output, 8 channels. */
EK_AVX2 static inline __attribute__((always_inline)) void
one_row(const ek_call *call, const strip *s, const band *b, size_t pairs, int8_t *y) {
    const size_t channels = call->tensors[0].dims[3];
    const size_t step = channels * (size_t)ek_param(call, STRIDE_W);
    const int8_t *x = b->data + s->first;
    y += s->first;
    for (uint32_t ox = call->tensors[3].dims[2]; ox != 0; ox--) {
        __m256i sums = ek_load_256(s->out.bias);
        for (size_t i = 0; i < pairs; i++) {
            const __m256i taps = load_pairs(x + b->at[2 * i], x + b->at[2 * i + 1]);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(taps, s->w[i]));
        }
        ek_store(y, ek_finish_eight(&s->out, sums), CHANNELS);
        x += step;
        y += channels;
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
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const size_t channels = x->dims[3];
    const size_t pairs = ((size_t)w->dims[1] * w->dims[2] + 1) / 2;
    const size_t strips = (channels + CHANNELS - 1) / CHANNELS;
    strip s[MOST_STRIPS];
    band b;
    int8_t *to = (int8_t *)y->write;
    for (size_t i = 0; i < strips; i++) {
        /* The last 8 may be some of those before. */
        const size_t last = channels - CHANNELS;
        prepare(call, CHANNELS * i < last ? CHANNELS * i : last, &s[i]);
    }
    prepare_band(call, &b);
    for (uint32_t row = 0; row < y->dims[0] * y->dims[1]; row++) {
        const uint32_t batch = row / y->dims[1];
        const int8_t *image = (const int8_t *)x->data + batch * (size_t)(x->count / x->dims[0]);
        fill_band(call, image,
                  (int32_t)(row % y->dims[1]) * ek_param(call, STRIDE_H) - ek_param(call, PAD_TOP),
                  &b);
        for (size_t i = 0; i < strips; i++) {
            if (pairs == 5) {
                one_row(call, &s[i], &b, 5, to);
            } else {
                one_row(call, &s[i], &b, pairs, to);
            }
        }
        to += y->dims[2] * channels;
    }
}

static int fits(const ek_call *call) {
    const ek_tensor *w = &call->tensors[1];
    const size_t channels = w->dims[3];
    return ek_dot_ready() && channels == call->tensors[0].dims[3] && channels >= CHANNELS &&
           channels <= (size_t)CHANNELS * MOST_STRIPS && w->count / channels <= MOST_TAPS &&
           band_width(call) <= BAND_BYTES / (channels * w->dims[1]) && shifts_fit(call);
}

void ek_depthwise_conv_2d_s8(const ek_call *call) {
    if (fits(call)) {
        all_rows(call);
    } else {
        ek_depthwise_conv_2d_portable_s8(call);
    }
}
