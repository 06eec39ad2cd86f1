#include "ek_dot_s16.h"

#include "ek_finish_avx2.h"

enum { ROWS = 4 }; /* of a tile */

int ek_dot_ready(void) {
    return __builtin_cpu_supports("avx2") != 0;
}

EK_AVX2 void ek_dot_output_rows(ek_dot_output *out, const uint8_t *rows, int rounding) {
    const int *words = (const int *)(const void *)rows;
    const __m256i every_third = _mm256_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21);
    const __m256i right =
        _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_i32gather_epi32(words + 2, every_third, 4));
    const __m256i even = _mm256_and_si256(right, _mm256_set1_epi64x(UINT32_MAX));
    const __m256i odd = _mm256_srli_epi64(right, 32);
    const __m256i half = _mm256_set1_epi64x(INT64_C(1) << 30);
    const int twice = rounding == EK_ROUND_DOUBLE;
    const __m256i first = twice ? half : _mm256_setzero_si256();
    const __m256i a = _mm256_add_epi64(_mm256_sllv_epi64(half, even), first);
    const __m256i b = _mm256_add_epi64(_mm256_sllv_epi64(half, odd), first);
    _mm256_storeu_si256((__m256i *)(void *)out->bias,
                        _mm256_i32gather_epi32(words, every_third, 4));
    _mm256_storeu_si256((__m256i *)(void *)out->multiplier,
                        _mm256_i32gather_epi32(words + 1, every_third, 4));
    _mm256_storeu_si256((__m256i *)(void *)out->shift,
                        _mm256_sub_epi32(right, _mm256_set1_epi32(1)));
    _mm256_storeu_si256((__m256i *)(void *)out->addend_even, a);
    _mm256_storeu_si256((__m256i *)(void *)out->addend_odd, b);
    out->negative = twice ? INT64_C(1) << 31 : 0;
}

EK_AVX2 static inline void store_256(int16_t *p, __m256i value) {
    _mm256_storeu_si256((__m256i *)(void *)p, value);
}

/* Up to 8 terms from p on as a word, zeros behind them. `before`: terms in front of p. */
static inline int64_t load_terms(const int8_t *p, size_t count, size_t before) {
    uint64_t word = 0;
    if (count == 0) {
        return 0;
    }
    if (count >= 8) {
        memcpy(&word, p, sizeof word);
    } else if (before + count >= 8) {
        memcpy(&word, p + count - 8, sizeof word);
        word >>= 8 * (8 - count);
    } else {
        memcpy(&word, p, count);
    }
    return (int64_t)word;
}

EK_AVX2 void ek_dot_widen(const int8_t *from, size_t count, int32_t zero, int16_t *x) {
    const __m256i zeros = _mm256_set1_epi16((int16_t)zero);
    size_t i = 0;
    /* The last 16 may be some of those before. */
    for (; i < count && count >= 16; i += 16) {
        const size_t at = i + 16 <= count ? i : count - 16;
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + at));
        store_256(x + at, _mm256_sub_epi16(_mm256_cvtepi8_epi16(bytes), zeros));
    }
    for (; i < count; i++) {
        x[i] = (int16_t)(from[i] - zero);
    }
}

void ek_dot_extend(const ek_dot_matrix *from, size_t terms, size_t rows, int16_t *x) {
    const int8_t *p = from->data;
    if (from->step == 1 && from->line == terms) {
        ek_dot_widen(p, rows * terms, from->zero, x);
        return;
    }
    for (; rows != 0; rows--) {
        if (from->step == 1) {
            ek_dot_widen(p, terms, from->zero, x);
        } else {
            for (size_t k = 0; k < terms; k++) {
                x[k] = (int16_t)(p[k * from->step] - from->zero);
            }
        }
        p += from->line;
        x += terms;
    }
}

/* Columns whose terms are neighbours: blocks of 8 columns and 8 terms are transposed. */
EK_AVX2 static void pack_columns(const ek_dot_matrix *from, size_t terms, size_t columns,
                                 size_t first, int16_t *panel) {
    const __m256i zero = _mm256_set1_epi16((int16_t)from->zero);
    const int8_t *column[8];
    for (size_t i = 0; i < 8; i++) {
        column[i] = from->data + from->line * (first + i < columns ? first + i : columns - 1);
    }
    for (size_t k = 0; k < terms; k += 8) {
        const size_t count = terms - k < 8 ? terms - k : 8;
        __m256i a[4];
        for (size_t i = 0; i < 4; i++) {
            const __m128i bytes = _mm_set_epi64x(load_terms(column[i + 4] + k, count, k),
                                                 load_terms(column[i] + k, count, k));
            a[i] = _mm256_sub_epi16(_mm256_cvtepi8_epi16(bytes), zero);
        }
        const __m256i b0 = _mm256_unpacklo_epi32(a[0], a[1]);
        const __m256i b1 = _mm256_unpackhi_epi32(a[0], a[1]);
        const __m256i b2 = _mm256_unpacklo_epi32(a[2], a[3]);
        const __m256i b3 = _mm256_unpackhi_epi32(a[2], a[3]);
        const __m256i pairs[4] = {_mm256_unpacklo_epi64(b0, b2), _mm256_unpackhi_epi64(b0, b2),
                                  _mm256_unpacklo_epi64(b1, b3), _mm256_unpackhi_epi64(b1, b3)};
        for (size_t i = 0; 2 * i < count; i++) {
            store_256(panel + EK_DOT_COLUMNS * (k + 2 * i) + 2 * first, pairs[i]);
        }
    }
}

/* One term of `columns` columns; zeros behind them. */
EK_AVX2 static inline __m128i load_columns(const int8_t *p, size_t columns) {
    int8_t bytes[EK_DOT_COLUMNS] = {0};
    if (columns == EK_DOT_COLUMNS) {
        return _mm_loadu_si128((const __m128i *)(const void *)p);
    }
    if (columns == 8) {
        return _mm_loadl_epi64((const __m128i *)(const void *)p);
    }
    memcpy(bytes, p, columns);
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* Terms whose columns are neighbours: two rows of terms are interleaved. */
EK_AVX2 static void pack_terms(const ek_dot_matrix *from, size_t terms, size_t columns,
                               int16_t *panel) {
    const __m256i zero = _mm256_set1_epi16((int16_t)from->zero);
    for (size_t k = 0; k < terms; k += 2) {
        const int8_t *p = from->data + from->step * k;
        const __m128i a = load_columns(p, columns);
        const __m128i b = k + 1 < terms ? load_columns(p + from->step, columns) : a;
        const __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
        const __m256i high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
        store_256(panel, _mm256_sub_epi16(low, zero));
        store_256(panel + 16, _mm256_sub_epi16(high, zero));
        panel += 2 * EK_DOT_COLUMNS;
    }
}

void ek_dot_pack(const ek_dot_matrix *from, size_t terms, size_t columns, int16_t *panel) {
    if (from->line == 1) {
        pack_terms(from, terms, columns, panel);
    } else {
        for (size_t first = 0; first < columns; first += 8) {
            pack_columns(from, terms, columns, first, panel);
        }
    }
    /* What stands behind odd terms of x does not count. */
    for (size_t i = 0; terms % 2 != 0 && i < EK_DOT_COLUMNS; i++) {
        panel[EK_DOT_COLUMNS * (terms - 1) + 2 * i + 1] = 0;
    }
}

/* Two terms of x, for every column. */
EK_AVX2 static inline __m256i pair_of(const int16_t *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm256_set1_epi32(pair);
}

/* `rows` rows times 8 or 16 columns. */
EK_AVX2 static inline __attribute__((always_inline)) void
tile(const ek_dot_panels *p, const int16_t *panel, const ek_dot_output *out,
     const int16_t *const *x, size_t rows, size_t eights, __m256i (*sums)[2]) {
    for (size_t i = 0; i < rows; i++) {
        sums[i][0] = ek_load_256(out[0].bias);
        sums[i][1] = ek_load_256(out[eights - 1].bias);
    }
    size_t s = 0;
    do {
        size_t k = p->starts[s];
        const size_t end = k + 2 * p->pairs;
        do {
            const __m256i w0 = ek_load_256(panel);
            const __m256i w1 = eights == 2 ? ek_load_256(panel + 16) : w0;
            for (size_t i = 0; i < rows; i++) {
                const __m256i v = pair_of(x[i] + k);
                sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(v, w0));
                if (eights == 2) {
                    sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(v, w1));
                }
            }
            panel += 2 * EK_DOT_COLUMNS;
            k += 2;
        } while (k != end);
        s++;
    } while (s != p->segments);
}

/* Without an index that varies, all sums stay in registers. */
EK_AVX2 static inline __attribute__((always_inline)) void
some_rows(const ek_dot_panels *p, const int16_t *panel, const ek_dot_output *out,
          const int16_t *const *x, size_t rows, size_t eights, size_t columns, int8_t *y) {
    __m256i sums[ROWS][2];
    tile(p, panel, out, x, rows, eights, sums);
    for (size_t e = 0; e < eights; e++) {
        const ek_scale scale = ek_scale_of(&out[e]);
        for (size_t i = 0; i < rows; i++) {
            sums[i][e] = ek_scale_eight(scale, sums[i][e]);
        }
    }
    const ek_limits limits = ek_limits_of(out);
    for (size_t i = 0; i < rows; i++) {
        ek_store(y, ek_limit(limits, sums[i][0], sums[i][eights - 1]), columns);
        y += p->y_step;
    }
}

/* All rows times a panel. */
EK_AVX2 static inline __attribute__((always_inline)) void
all_rows(const ek_dot_panels *p, const int16_t *panel, const ek_dot_output *out, const int16_t *x,
         const uint32_t *rows, size_t count, size_t eights, size_t columns, int8_t *y) {
    const int16_t *at[ROWS];
    for (; count >= ROWS; count -= ROWS) {
        for (size_t i = 0; i < ROWS; i++) {
            at[i] = x + *rows++;
        }
        some_rows(p, panel, out, at, ROWS, eights, columns, y);
        y += ROWS * p->y_step;
    }
    for (; count != 0; count--) {
        at[0] = x + *rows++;
        some_rows(p, panel, out, at, 1, eights, columns, y);
        y += p->y_step;
    }
}

EK_AVX2 void ek_dot_multiply(const ek_dot_panels *p, const int16_t *x, const uint32_t *rows,
                             size_t count, int8_t *y) {
    const int16_t *panel = p->weights;
    const ek_dot_output *out = p->out;
    for (size_t n = 0; n < p->columns; n += EK_DOT_COLUMNS) {
        const size_t first = ek_dot_first(p->columns, n);
        const size_t left = p->columns - first;
        if (left >= EK_DOT_COLUMNS) {
            all_rows(p, panel, out, x, rows, count, 2, EK_DOT_COLUMNS, y + first);
        } else if (left > 8) {
            all_rows(p, panel, out, x, rows, count, 2, left, y + first);
        } else {
            all_rows(p, panel, out, x, rows, count, 1, left, y + first);
        }
        panel += 2 * EK_DOT_COLUMNS * p->pairs * p->segments;
        out += EK_DOT_COLUMNS / 8;
    }
}

EK_AVX2 static inline __m128i four_sums(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

EK_AVX2 static inline __m128i four_columns(const int16_t *x, const int8_t *w, size_t terms) {
    __m256i a[4];
    int32_t rest[4] = {0};
    size_t k = 0;
    for (size_t n = 0; n < 4; n++) {
        a[n] = _mm256_setzero_si256();
    }
    for (; k + 16 <= terms; k += 16) {
        const __m256i v = ek_load_256(x + k);
        for (size_t n = 0; n < 4; n++) {
            const void *p = w + n * terms + k;
            const __m256i u = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
            a[n] = _mm256_add_epi32(a[n], _mm256_madd_epi16(v, u));
        }
    }
    for (; k < terms; k++) {
        for (size_t n = 0; n < 4; n++) {
            rest[n] += x[k] * w[n * terms + k];
        }
    }
    return _mm_add_epi32(four_sums(a[0], a[1], a[2], a[3]),
                         _mm_loadu_si128((const __m128i *)(const void *)rest));
}

EK_AVX2 void ek_dot_row(const int16_t *x, const int8_t *w, size_t terms, const ek_dot_output *out,
                        int8_t *y) {
    const __m128i low = four_columns(x, w, terms);
    const __m128i high = four_columns(x, w + 4 * terms, terms);
    const __m256i sums = _mm256_add_epi32(_mm256_set_m128i(high, low), ek_load_256(out->bias));
    ek_store(y, ek_finish_eight(out, sums), 8);
}
