#include "ek_dot_s16.h"

#include <string.h>

#include "ek_finish_avx2.h"
#include "ek_fixed.h"

int ek_dot_output_set(ek_dot_output *out, size_t column, int32_t bias, int32_t multiplier,
                      int32_t shift, int rounding) {
    if (shift > -1) {
        return 0;
    }
    const int32_t right = -shift;
    out->bias[column] = bias;
    out->multiplier[column] = multiplier;
    out->addend[column] = INT64_C(1) << (30 + right);
    out->negative[column] = 0;
    if (rounding == EK_ROUND_DOUBLE) {
        /* Both roundings in one sum: the first adds 2^30, the second 2^(30 + right) and, so that
         * ties go away from zero, takes 2^31 off negative products. */
        out->addend[column] += INT64_C(1) << 30;
        out->negative[column] = -(INT64_C(1) << 31);
    }
    out->shift[column] = 31 + right;
    out->sign[column] = INT64_C(1) << (32 - right);
    return 1;
}

EK_AVX2 static inline __m128i four_sums(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

EK_AVX2 static inline __m256i load_avx2(const int16_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

EK_AVX2 static inline void two_rows_avx2(const int16_t *x, const int16_t *x1, const int16_t *w,
                                         size_t terms, int32_t *sums, int32_t *sums1) {
    __m256i a[EK_DOT_COLUMNS];
    __m256i b[EK_DOT_COLUMNS];
    for (size_t n = 0; n < EK_DOT_COLUMNS; n++) {
        a[n] = _mm256_setzero_si256();
        b[n] = _mm256_setzero_si256();
    }
    for (size_t k = 0; k < terms; k += 16) {
        const __m256i v = load_avx2(x + k);
        const __m256i v1 = load_avx2(x1 + k);
        for (size_t n = 0; n < EK_DOT_COLUMNS; n++) {
            const __m256i u = load_avx2(w + n * terms + k);
            a[n] = _mm256_add_epi32(a[n], _mm256_madd_epi16(v, u));
            b[n] = _mm256_add_epi32(b[n], _mm256_madd_epi16(v1, u));
        }
    }
    _mm_storeu_si128((__m128i *)(void *)sums, four_sums(a[0], a[1], a[2], a[3]));
    _mm_storeu_si128((__m128i *)(void *)sums1, four_sums(b[0], b[1], b[2], b[3]));
}

EK_AVX2 static void dot_avx2(const int16_t *x, const int16_t *w, size_t terms, size_t rows,
                             int32_t (*sums)[EK_DOT_COLUMNS]) {
    for (size_t row = 0; row < rows; row += 2) {
        /* A single last row is computed twice. */
        const size_t other = row + 1 < rows ? row + 1 : row;
        two_rows_avx2(x + row * terms, x + other * terms, w, terms, sums[row], sums[other]);
    }
}

EK_AVX2 static void dot_row_avx2(const int16_t *x, const int8_t *w, size_t terms,
                                 int32_t sums[EK_DOT_COLUMNS]) {
    __m256i a[EK_DOT_COLUMNS];
    size_t k = 0;
    for (size_t n = 0; n < EK_DOT_COLUMNS; n++) {
        a[n] = _mm256_setzero_si256();
    }
    for (; k + 16 <= terms; k += 16) {
        const __m256i v = load_avx2(x + k);
        for (size_t n = 0; n < EK_DOT_COLUMNS; n++) {
            const void *p = w + n * terms + k;
            const __m256i u = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
            a[n] = _mm256_add_epi32(a[n], _mm256_madd_epi16(v, u));
        }
    }
    _mm_storeu_si128((__m128i *)(void *)sums, four_sums(a[0], a[1], a[2], a[3]));
    for (; k < terms; k++) {
        for (size_t n = 0; n < EK_DOT_COLUMNS; n++) {
            sums[n] += x[k] * w[n * terms + k];
        }
    }
}

EK_AVX2 static void finish_avx2(const ek_dot_output *out, int32_t (*sums)[EK_DOT_COLUMNS],
                                size_t rows, int8_t *y, size_t step, size_t columns) {
    for (size_t row = 0; row < rows; row++) {
        const int32_t bytes =
            ek_finish_four(out, _mm_loadu_si128((const __m128i *)(const void *)sums[row]));
        if (columns == EK_DOT_COLUMNS) {
            memcpy(y, &bytes, EK_DOT_COLUMNS);
        } else {
            memcpy(y, &bytes, columns);
        }
        y += step;
    }
}

EK_AVX2 static void extend_avx2(const int8_t *from, size_t count, int32_t zero, size_t terms,
                                int16_t *to) {
    const __m256i offset = _mm256_set1_epi16((int16_t)zero);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
        const __m256i wide = _mm256_sub_epi16(_mm256_cvtepi8_epi16(bytes), offset);
        _mm256_storeu_si256((__m256i *)(void *)(to + i), wide);
    }
    for (; i < count; i++) {
        to[i] = (int16_t)(from[i] - zero);
    }
    memset(to + count, 0, (terms - count) * sizeof *to);
}

const ek_dot *ek_dot_choose(void) {
    static const ek_dot avx2 = {dot_avx2, dot_row_avx2, finish_avx2, extend_avx2};
    return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
}
