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

/* 16 terms, of which `count` are, from p on. */
EK_AVX2 static inline __m128i load_16(const int8_t *p, size_t count, size_t before) {
    if (count >= 16) {
        return _mm_loadu_si128((const __m128i *)(const void *)p);
    }
    const size_t low = count < 8 ? count : 8;
    return _mm_set_epi64x(load_terms(p + low, count - low, before + low),
                          load_terms(p, low, before));
}

EK_AVX2 void ek_dot_extend(const ek_dot_matrix *from, size_t terms, size_t rows, int16_t *x) {
    const int8_t *p = from->data;
    const __m256i zero = _mm256_set1_epi16((int16_t)from->zero);
    for (; rows != 0; rows--) {
        for (size_t k = 0; from->step == 1 && k < terms; k += 16) {
            const __m128i bytes = load_16(p + k, terms - k, k);
            store_256(x + k, _mm256_sub_epi16(_mm256_cvtepi8_epi16(bytes), zero));
        }
        for (size_t k = 0; from->step != 1 && k < terms; k++) {
            x[k] = (int16_t)(p[k * from->step] - from->zero);
        }
        if (terms % 2 != 0) {
            x[terms] = 0;
        }
        p += from->line;
        x += ek_dot_padded(terms);
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

/* Terms whose columns are neighbours: two rows of terms are interleaved. */
EK_AVX2 static void pack_terms(const ek_dot_matrix *from, size_t terms, size_t columns,
                               int16_t *panel) {
    const __m256i zero = _mm256_set1_epi16((int16_t)from->zero);
    int8_t lines[2][EK_DOT_COLUMNS] = {{0}};
    for (size_t k = 0; k < terms; k += 2) {
        memcpy(lines[0], from->data + from->step * k, columns);
        if (k + 1 < terms) {
            memcpy(lines[1], from->data + from->step * (k + 1), columns);
        }
        const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)lines[0]);
        const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)lines[1]);
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
        return;
    }
    for (size_t first = 0; first < columns; first += 8) {
        pack_columns(from, terms, columns, first, panel);
    }
}

/* Two terms of x, for every column. */
EK_AVX2 static inline __m256i pair_of(const int16_t *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm256_set1_epi32(pair);
}

/* Four rows times 8 or 16 columns. */
EK_AVX2 static inline __attribute__((always_inline)) void tile(const int16_t *const *rows,
                                                               const int16_t *panel, size_t terms,
                                                               size_t eights, __m256i (*sums)[2]) {
    for (size_t i = 0; i < ROWS; i++) {
        sums[i][0] = _mm256_setzero_si256();
        sums[i][1] = _mm256_setzero_si256();
    }
    for (size_t k = 0; k < terms; k += 2) {
        const __m256i w0 = ek_load_256(panel);
        const __m256i w1 = eights == 2 ? ek_load_256(panel + 16) : w0;
        for (size_t i = 0; i < ROWS; i++) {
            const __m256i x = pair_of(rows[i] + k);
            sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(x, w0));
            if (eights == 2) {
                sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(x, w1));
            }
        }
        panel += 2 * EK_DOT_COLUMNS;
    }
}

EK_AVX2 void ek_dot_multiply(const int16_t *x, size_t rows, const int16_t *panel, size_t terms,
                             size_t columns, const ek_dot_output *out, int8_t *y, size_t y_step) {
    const size_t padded = ek_dot_padded(terms);
    for (size_t row = 0; row < rows; row += ROWS) {
        const size_t count = rows - row < ROWS ? rows - row : ROWS;
        const int16_t *at[ROWS];
        __m256i sums[ROWS][2];
        for (size_t i = 0; i < ROWS; i++) {
            at[i] = x + padded * (row + (i < count ? i : 0));
        }
        if (columns > 8) {
            tile(at, panel, terms, 2, sums);
        } else {
            tile(at, panel, terms, 1, sums);
        }
        /* Without an index that varies, all sums stay in registers. */
        for (size_t i = 0; i < ROWS; i++) {
            if (i < count) {
                if (columns > 8) {
                    const __m128i bytes = ek_finish_sixteen(out, sums[i][0], sums[i][1]);
                    ek_store_eight(y, bytes, 8);
                    ek_store_eight(y + 8, _mm_unpackhi_epi64(bytes, bytes), columns - 8);
                } else {
                    ek_store_eight(y, ek_finish_eight(out, sums[i][0]), columns);
                }
                y += y_step;
            }
        }
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
    ek_store_eight(y, ek_finish_eight(out, _mm256_set_m128i(high, low)), 8);
}
