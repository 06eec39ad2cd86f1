/* Four sums to four int8 with AVX2. */
#ifndef EK_FINISH_AVX2_H
#define EK_FINISH_AVX2_H

#include <immintrin.h>

#include "ek_dot_s16.h"

#define EK_AVX2 __attribute__((target("avx2")))

EK_AVX2 static inline __m256i ek_load_s64x4(const int64_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* The four outputs as bytes of a word. */
EK_AVX2 static inline int32_t ek_finish_four(const ek_dot_output *out, __m128i sums) {
    const __m128i bias = _mm_loadu_si128((const __m128i *)(const void *)out->bias);
    const __m256i wide = _mm256_cvtepi32_epi64(_mm_add_epi32(sums, bias));
    const __m256i below = _mm256_cmpgt_epi64(_mm256_setzero_si256(), wide);
    __m256i v = _mm256_mul_epi32(wide, ek_load_s64x4(out->multiplier));
    v = _mm256_add_epi64(v, ek_load_s64x4(out->addend));
    v = _mm256_add_epi64(v, _mm256_and_si256(below, ek_load_s64x4(out->negative)));
    /* A shift to the right that keeps the sign: AVX2 has only that of unsigned numbers. */
    v = _mm256_xor_si256(v, _mm256_set1_epi64x(INT64_MIN));
    v = _mm256_srlv_epi64(v, ek_load_s64x4(out->shift));
    v = _mm256_sub_epi64(v, ek_load_s64x4(out->sign));
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    __m128i four = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(v, even));
    four = _mm_add_epi32(four, _mm_set1_epi32(out->zero_point));
    four = _mm_max_epi32(four, _mm_set1_epi32(out->low));
    four = _mm_min_epi32(four, _mm_set1_epi32(out->high));
    four = _mm_packs_epi16(_mm_packs_epi32(four, four), four);
    return _mm_cvtsi128_si32(four);
}

#endif
