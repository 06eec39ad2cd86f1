/* SOFTMAX with the vector instructions of x86-64, eight elements at a time. */
#define ek_softmax_s8 ek_softmax_portable_s8
#include "../../ek_softmax_s8.c"
#undef ek_softmax_s8

#include "ek_finish_avx2.h"

EK_AVX2 static inline __m256i load_eight(const int8_t *x) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)x));
}

/* The largest of a row of at least 8. The last 8 may be some of those before. */
EK_AVX2 static int32_t top_of(const int8_t *x, uint32_t depth) {
    __m128i top = _mm_set1_epi8(-128);
    for (uint32_t i = 0; i < depth; i += 8) {
        const int8_t *p = x + (i + 8 <= depth ? i : depth - 8);
        top = _mm_max_epi8(top, _mm_loadl_epi64((const __m128i *)(const void *)p));
    }
    /* 127 - value is smallest where the value is largest; there is a minimum of unsigned words. */
    const __m128i below = _mm_sub_epi8(_mm_set1_epi8(127), top);
    const __m128i pairs = _mm_min_epu8(below, _mm_srli_epi16(below, 8));
    const __m128i words =
        _mm_unpacklo_epi64(_mm_and_si128(pairs, _mm_set1_epi16(255)), _mm_set1_epi64x(-1));
    return 127 - _mm_extract_epi16(_mm_minpos_epu16(words), 0);
}

EK_AVX2 static int32_t sum_of(__m256i sums) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

/* Eight values of exp, by their distance from the top. */
EK_AVX2 static inline __m256i exp_of(const uint8_t *exp, __m256i top, const int8_t *x) {
    return _mm256_i32gather_epi32((const int *)(const void *)exp,
                                  _mm256_sub_epi32(top, load_eight(x)), 4);
}

/* The eight outputs of what exp gave; ek_high_mul, then a shift that rounds. */
EK_AVX2 static inline void store_eight(__m256i e, __m256i scale, __m256i half, __m128i shift,
                                       int8_t *y) {
    const __m256i round = _mm256_set1_epi64x(INT64_C(1) << 30);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(e, scale), round);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(e, 32), scale), round);
    __m256i v = _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xaa);
    v = _mm256_srl_epi32(_mm256_add_epi32(v, half), shift);
    v = _mm256_sub_epi32(v, _mm256_set1_epi32(128));
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)(void *)y, _mm_packs_epi16(words, words));
}

/* depth: a multiple of 8. */
EK_AVX2 static void row_of_eights(const int8_t *x, uint32_t depth, const uint8_t *exp, int8_t *y) {
    int32_t values[MAX_DEPTH + 1];
    const __m256i top = _mm256_set1_epi32(top_of(x, depth));
    __m256i sums = _mm256_setzero_si256();
    for (uint32_t i = 0; i < depth; i += 8) {
        const __m256i e = exp_of(exp, top, x + i);
        _mm256_storeu_si256((__m256i *)(void *)(values + i), e);
        sums = _mm256_add_epi32(
            sums, _mm256_srli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(0x800)), 12));
    }
    const uint32_t sum = (uint32_t)sum_of(sums);
    const int headroom = __builtin_clz(sum);
    const int32_t scale = ek_reciprocal_of_one_plus((int32_t)((sum << headroom) - 0x80000000u));
    const int32_t shift = 12 - headroom + 31 - 8;
    /* Nothing is left of 31 bits that are shifted further. */
    const int32_t half = shift > 31 ? 0 : (int32_t)(1u << (shift - 1));
    for (uint32_t i = 0; i < depth; i += 8) {
        store_eight(ek_load_256(values + i), _mm256_set1_epi32(scale), _mm256_set1_epi32(half),
                    _mm_cvtsi32_si128(shift), y + i);
    }
}

void ek_softmax_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t depth = x->dims[x->rank - 1];
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)call->tensors[2].write;
    if (depth % 8 != 0 || !ek_dot_ready()) {
        ek_softmax_portable_s8(call);
        return;
    }
    for (uint32_t rows = x->count / depth; rows != 0; rows--) {
        row_of_eights(from, depth, call->tensors[1].data, to);
        from += depth;
        to += depth;
    }
}
