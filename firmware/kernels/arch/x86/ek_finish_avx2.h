/* Eight sums to eight int8 with AVX2. */
#ifndef EK_FINISH_AVX2_H
#define EK_FINISH_AVX2_H

#include <immintrin.h>

#include "ek_dot_s16.h"

#define EK_AVX2 __attribute__((target("avx2")))

EK_AVX2 static inline __m256i ek_load_256(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Eight sums, scaled. Two products of 64 bits hold the even and the odd sums; what a shift by 32
 * leaves of them is shifted on, which AVX2 can do with signed numbers of 32 bits only. */
EK_AVX2 static inline __m256i ek_scale_eight(const ek_dot_output *out, __m256i sums) {
    const __m256i even = _mm256_add_epi32(sums, ek_load_256(out->bias));
    const __m256i odd = _mm256_srli_epi64(even, 32);
    /* 2^31 where the sum is negative and is to be rounded twice. */
    const __m256i sign = _mm256_set1_epi64x(out->negative);
    __m256i a = _mm256_mul_epi32(even, ek_load_256(out->multiplier));
    __m256i b = _mm256_mul_epi32(odd, ek_load_256(out->multiplier + 1));
    a = _mm256_add_epi64(a, ek_load_256(out->addend_even));
    b = _mm256_add_epi64(b, ek_load_256(out->addend_odd));
    a = _mm256_sub_epi64(a, _mm256_and_si256(even, sign));
    b = _mm256_sub_epi64(b, _mm256_and_si256(odd, sign));
    const __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(a, 32), b, 0xaa);
    return _mm256_srav_epi32(high, ek_load_256(out->shift));
}

EK_AVX2 static inline __m256i ek_scale_and_move(const ek_dot_output *out, __m256i sums) {
    return _mm256_add_epi32(ek_scale_eight(out, sums), _mm256_set1_epi32(out->zero_point));
}

/* Values of 16 bits to 8 bits, limited. */
EK_AVX2 static inline __m128i ek_limit(const ek_dot_output *out, __m128i low, __m128i high) {
    __m128i y = _mm_packs_epi16(low, high);
    y = _mm_max_epi8(y, _mm_set1_epi8((char)out->low));
    return _mm_min_epi8(y, _mm_set1_epi8((char)out->high));
}

/* The eight outputs, in the low half. */
EK_AVX2 static inline __m128i ek_finish_eight(const ek_dot_output *out, __m256i sums) {
    const __m256i v = ek_scale_and_move(out, sums);
    const __m128i y = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return ek_limit(out, y, y);
}

/* Sixteen outputs; out: of two, equal in zero point and limits. */
EK_AVX2 static inline __m128i ek_finish_sixteen(const ek_dot_output *out, __m256i sums,
                                                __m256i more) {
    const __m256i v =
        _mm256_packs_epi32(ek_scale_and_move(&out[0], sums), ek_scale_and_move(&out[1], more));
    const __m256i y = _mm256_permute4x64_epi64(v, 0xd8);
    return ek_limit(out, _mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
}

/* Writes the first `count` of eight bytes. */
EK_AVX2 static inline void ek_store_eight(int8_t *y, __m128i bytes, size_t count) {
    if (count >= 8) {
        _mm_storel_epi64((__m128i *)(void *)y, bytes);
    } else {
        const int64_t word = _mm_cvtsi128_si64(bytes);
        memcpy(y, &word, count);
    }
}

#endif
