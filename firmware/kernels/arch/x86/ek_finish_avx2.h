/* Eight sums to eight int8 with AVX2. */
#ifndef EK_FINISH_AVX2_H
#define EK_FINISH_AVX2_H

#include <immintrin.h>

#include "ek_dot_s16.h"

#define EK_AVX2 __attribute__((target("avx2")))

EK_AVX2 static inline __m256i ek_load_256(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* How eight sums are scaled, in registers. */
typedef struct ek_scale {
    __m256i multiplier_even;
    __m256i multiplier_odd;
    __m256i addend_even;
    __m256i addend_odd;
    __m256i sign; /* 2^31 where negative sums are rounded twice */
    __m256i shift;
} ek_scale;

EK_AVX2 static inline ek_scale ek_scale_of(const ek_dot_output *out) {
    const ek_scale scale = {
        ek_load_256(out->multiplier),      ek_load_256(out->multiplier + 1),
        ek_load_256(out->addend_even),     ek_load_256(out->addend_odd),
        _mm256_set1_epi64x(out->negative), ek_load_256(out->shift),
    };
    return scale;
}

/* Eight sums, scaled; their bias was added before. Two products of 64 bits hold the even and the
 * odd sums; what a shift by 32 leaves of them is shifted on, which AVX2 can do with signed numbers
 * of 32 bits only. */
EK_AVX2 static inline __m256i ek_scale_eight(ek_scale scale, __m256i even) {
    const __m256i odd = _mm256_srli_epi64(even, 32);
    __m256i a = _mm256_mul_epi32(even, scale.multiplier_even);
    __m256i b = _mm256_mul_epi32(odd, scale.multiplier_odd);
    a = _mm256_add_epi64(a, scale.addend_even);
    b = _mm256_add_epi64(b, scale.addend_odd);
    a = _mm256_sub_epi64(a, _mm256_and_si256(even, scale.sign));
    b = _mm256_sub_epi64(b, _mm256_and_si256(odd, scale.sign));
    return _mm256_srav_epi32(_mm256_blend_epi32(_mm256_srli_epi64(a, 32), b, 0xaa), scale.shift);
}

/* Where outputs lie, in registers. */
typedef struct ek_limits {
    __m256i zero_point; /* 16 bits */
    __m256i low;        /* 8 bits */
    __m256i high;
} ek_limits;

EK_AVX2 static inline ek_limits ek_limits_of(const ek_dot_output *out) {
    const ek_limits limits = {
        _mm256_set1_epi16((int16_t)out->zero_point),
        _mm256_set1_epi8((char)out->low),
        _mm256_set1_epi8((char)out->high),
    };
    return limits;
}

/* Two times eight scaled sums, moved to the zero point and limited to 8 bits. What saturates before
 * is limited anyway. */
EK_AVX2 static inline __m128i ek_limit(ek_limits limits, __m256i first, __m256i second) {
    const __m256i moved = _mm256_adds_epi16(_mm256_packs_epi32(first, second), limits.zero_point);
    const __m256i y = _mm256_packs_epi16(moved, moved);
    const __m256i limited = _mm256_min_epi8(_mm256_max_epi8(y, limits.low), limits.high);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(limited),
                              _mm256_extracti128_si256(limited, 1));
}

/* Eight outputs, in the low half. */
EK_AVX2 static inline __m128i ek_finish_eight(const ek_dot_output *out, __m256i sums) {
    const __m256i v = ek_scale_eight(ek_scale_of(out), sums);
    return ek_limit(ek_limits_of(out), v, v);
}

/* Writes the first `count` of sixteen bytes. */
EK_AVX2 static inline void ek_store(int8_t *y, __m128i bytes, size_t count) {
    if (count == 16) {
        _mm_storeu_si128((__m128i *)(void *)y, bytes);
        return;
    }
    if ((count & 8) != 0) {
        _mm_storel_epi64((__m128i *)(void *)y, bytes);
        bytes = _mm_unpackhi_epi64(bytes, bytes);
        y += 8;
    }
    uint64_t word = (uint64_t)_mm_cvtsi128_si64(bytes);
    if ((count & 4) != 0) {
        memcpy(y, &word, 4);
        word >>= 32;
        y += 4;
    }
    if ((count & 2) != 0) {
        memcpy(y, &word, 2);
        word >>= 16;
        y += 2;
    }
    if ((count & 1) != 0) {
        *y = (int8_t)word;
    }
}

#endif
