/* DEPTHWISE_CONV_2D with constants that were laid out before: pixels stand in pairs, each with the
 * one under the next tap, so that one instruction takes two taps of 8 channels. */
#include "ek_finish_avx2.h"
#include "ek_lines.h"
#include "ek_prepared_x86.h"
#include "ek_window_s8.h"

enum { CHANNELS = 8, MOST_PAIRS = 32 };

/* Constants of 8 channels. */
typedef struct strip {
    _Alignas(32) int16_t w[MOST_PAIRS][2 * CHANNELS]; /* per channel the weights of two taps */
    ek_dot_output out;
    size_t first; /* channel */
} strip;

/* The constants of a node. */
typedef struct layer {
    ek_lines lines;
    size_t images;
    size_t strip_count;
    size_t pairs;          /* of taps */
    size_t beside;         /* elements from a pixel to its partner */
    size_t at[MOST_PAIRS]; /* of each pair under the first column, in pairs of elements */
    strip strips[];
} layer;

static size_t pairs_of(const ek_tensor *w) {
    return (size_t)w->dims[1] * ((w->dims[2] + 1) / 2);
}

static size_t strips_of(const ek_tensor *w) {
    return (w->dims[3] + CHANNELS - 1) / CHANNELS;
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

int ek_depthwise_need(const ek_call *call, ek_prepared_need *need) {
    const ek_tensor *w = &call->tensors[1];
    ek_lines lines;
    if (w->dims[3] != call->tensors[0].dims[3] || w->dims[3] < CHANNELS ||
        pairs_of(w) > MOST_PAIRS || !shifts_fit(call) || !ek_lines_of(call, &lines)) {
        return 0;
    }
    need->constants = sizeof(layer) + strips_of(w) * sizeof(strip);
    /* Lines as int16, and in pairs. */
    need->workspace = 3 * ek_lines_size(&lines) * sizeof(int16_t);
    return 1;
}

static void fill_strip(const ek_call *call, size_t first, strip *s) {
    const ek_tensor *w = &call->tensors[1];
    const size_t width = w->dims[2];
    size_t pair = 0;
    for (size_t ky = 0; ky < w->dims[1]; ky++) {
        for (size_t kx = 0; kx < width; kx += 2) {
            const int8_t *taps = (const int8_t *)w->data + (ky * width + kx) * w->dims[3] + first;
            for (size_t c = 0; c < CHANNELS; c++) {
                s->w[pair][2 * c] = taps[c];
                s->w[pair][2 * c + 1] = kx + 1 < width ? taps[w->dims[3] + c] : 0;
            }
            pair++;
        }
    }
    for (size_t c = 0; c < CHANNELS; c++) {
        const uint8_t *requant = call->tensors[2].data + 12 * (first + c);
        (void)ek_dot_output_set(&s->out, c, ek_get_i32(requant), ek_get_i32(requant + 4),
                                ek_get_i32(requant + 8), ek_param(call, ROUNDING));
    }
    s->out.zero_point = call->tensors[3].zero_point;
    s->out.low = ek_param(call, Y_MIN);
    s->out.high = ek_param(call, Y_MAX);
    s->first = first;
}

void ek_depthwise_fill(const ek_call *call, void *constants) {
    const ek_tensor *w = &call->tensors[1];
    const size_t channels = w->dims[3];
    layer *l = constants;
    (void)ek_lines_of(call, &l->lines);
    l->images = call->tensors[0].dims[0];
    l->strip_count = strips_of(w);
    l->pairs = pairs_of(w);
    l->beside = w->dims[2] == 1 ? 0 : (size_t)ek_param(call, DILATION_W) * channels;
    size_t pair = 0;
    for (size_t ky = 0; ky < w->dims[1]; ky++) {
        for (size_t kx = 0; kx < w->dims[2]; kx += 2) {
            l->at[pair++] =
                ky * (size_t)ek_param(call, DILATION_H) * l->lines.line + kx * l->beside;
        }
    }
    for (size_t i = 0; i < l->strip_count; i++) {
        /* The last 8 may be some of those before. */
        const size_t last = channels - CHANNELS;
        fill_strip(call, CHANNELS * i < last ? CHANNELS * i : last, &l->strips[i]);
    }
}

/* pairs[i] = x[i], x[i + beside]; x may be read a little beyond its end. */
EK_AVX2 static void make_pairs(const int16_t *x, size_t count, size_t beside, int16_t *pairs) {
    for (size_t i = 0; i < count; i += 16) {
        const __m256i a = ek_load_256(x + i);
        const __m256i b = ek_load_256(x + i + beside);
        const __m256i low = _mm256_unpacklo_epi16(a, b);
        const __m256i high = _mm256_unpackhi_epi16(a, b);
        _mm256_storeu_si256((__m256i *)(void *)(pairs + 2 * i),
                            _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256((__m256i *)(void *)(pairs + 2 * i + 16),
                            _mm256_permute2x128_si256(low, high, 0x31));
    }
}

/* One row of output, 8 channels. */
EK_AVX2 static inline __attribute__((always_inline)) void
one_row(const layer *l, const strip *s, size_t pairs, const int16_t *x, int8_t *y) {
    const ek_scale scale = ek_scale_of(&s->out);
    const ek_limits limits = ek_limits_of(&s->out);
    const __m256i bias = ek_load_256(s->out.bias);
    const size_t step = 2 * l->lines.step_w;
    const size_t channels = l->lines.channels;
    size_t at[MOST_PAIRS];
    for (size_t i = 0; i < pairs; i++) {
        at[i] = 2 * l->at[i];
    }
    for (size_t columns = l->lines.columns; columns != 0; columns--) {
        __m256i sums = bias;
        for (size_t i = 0; i < pairs; i++) {
            const __m256i taps = ek_load_256(x + at[i]);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(taps, ek_load_256(s->w[i])));
        }
        sums = ek_scale_eight(scale, sums);
        ek_store(y, ek_limit(limits, sums, sums), CHANNELS);
        x += step;
        y += channels;
    }
}

EK_AVX2 static void some_rows(const layer *l, const strip *s, size_t count, const int16_t *pairs,
                              int8_t *y) {
    pairs += 2 * s->first;
    y += s->first;
    for (size_t row = 0; row < count; row++) {
        if (l->pairs == 6) {
            one_row(l, s, 6, pairs, y);
        } else {
            one_row(l, s, l->pairs, pairs, y);
        }
        pairs += 2 * l->lines.step_h * l->lines.line;
        y += l->lines.columns * l->lines.channels;
    }
}

void ek_depthwise_ready(const ek_call *call, const void *constants, void *workspace) {
    const layer *l = constants;
    const ek_lines *lines = &l->lines;
    const size_t row_bytes = lines->columns * lines->channels;
    int16_t *x = workspace;
    int16_t *pairs = x + ek_lines_size(lines);
    const int8_t *image = (const int8_t *)call->tensors[0].data;
    int8_t *y = (int8_t *)call->tensors[3].write;
    for (size_t i = 0; i < l->images; i++) {
        for (size_t row = 0; row < lines->rows; row += lines->most) {
            const size_t count = ek_lines_count(lines, row);
            const size_t size = ((count - 1) * lines->step_h + lines->reach) * lines->line;
            ek_lines_fill(lines, image, row, count, x);
            make_pairs(x, size, l->beside, pairs);
            for (size_t s = 0; s < l->strip_count; s++) {
                some_rows(l, &l->strips[s], count, pairs, y);
            }
            y += count * row_bytes;
        }
        image += lines->height * lines->stored;
    }
}
