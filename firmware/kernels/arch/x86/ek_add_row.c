/* A row of ADD with the vector instructions of x86-64, eight elements at a time. What is short or
 * does not fit runs as the portable row does. */
#define ek_add_row_s8 ek_add_row_portable_s8
#include "../../ek_add_row.c"
#undef ek_add_row_s8

#include "ek_finish_avx2.h"

enum { LEAST = 24 };

/* An input: what 1 counts before scaling, and the scaling. */
typedef struct input {
    __m256i zero_point;
    __m256i one;
    uint32_t step;
    int exact; /* nothing is left to scale */
    ek_scale scale;
} input;

/* False if the shift does not fit. */
EK_AVX2 static int input_of(const ek_add_scale *scale, int32_t one, uint32_t step, input *in) {
    ek_dot_output out;
    int fits = 1;
    in->zero_point = _mm256_set1_epi32(scale->zero_point);
    in->step = step;
    in->exact = scale->shift == 0 && scale->multiplier == 1 << 30;
    if (in->exact) {
        /* The input with the larger scale: (v * 2^30 + 2^30) / 2^31 for even v. */
        one /= 2;
    } else if (scale->shift == 0) {
        /* (v * m + 2^30) / 2^31 = (2 * v * m + 2^31) / 2^32 */
        one *= 2;
        fits = ek_dot_output_fill(&out, scale->multiplier, -1, EK_ROUND_SINGLE);
    } else {
        fits = ek_dot_output_fill(&out, scale->multiplier, scale->shift, EK_ROUND_DOUBLE);
    }
    in->one = _mm256_set1_epi32(one);
    if (fits && !in->exact) {
        in->scale = ek_scale_of(&out);
    }
    return fits;
}

EK_AVX2 static inline __m256i scaled(const input *in, const int8_t *p) {
    const __m256i x = in->step == 0
                          ? _mm256_set1_epi32(*p)
                          : _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    const __m256i value = _mm256_mullo_epi32(_mm256_sub_epi32(x, in->zero_point), in->one);
    return in->exact ? value : ek_scale_eight(in->scale, value);
}

/* Returns how many elements it has added, a multiple of 8. */
EK_AVX2 static uint32_t add_eights(const ek_add_row *row, const int8_t *a, const int8_t *b,
                                   int8_t *y, uint32_t count) {
    input left;
    input right;
    ek_dot_output out;
    if (!input_of(&row->a, row->a_one, row->a_step, &left) ||
        !input_of(&row->b, row->b_one, row->b_step, &right) ||
        !ek_dot_output_fill(&out, row->y.multiplier, row->y.shift, EK_ROUND_DOUBLE)) {
        return 0;
    }
    out.zero_point = row->y.zero_point;
    out.low = row->low;
    out.high = row->high;
    const ek_scale scale = ek_scale_of(&out);
    const ek_limits limits = ek_limits_of(&out);
    uint32_t done = 0;
    for (; done + 8 <= count; done += 8) {
        const __m256i sums = _mm256_add_epi32(scaled(&left, a), scaled(&right, b));
        const __m256i v = ek_scale_eight(scale, sums);
        ek_store(y + done, ek_limit(limits, v, v), 8);
        a += 8 * row->a_step;
        b += 8 * row->b_step;
    }
    return done;
}

void ek_add_row_s8(const ek_add_row *row, const int8_t *a, const int8_t *b, int8_t *y,
                   uint32_t count) {
    const uint32_t done = count >= LEAST && ek_dot_ready() ? add_eights(row, a, b, y, count) : 0;
    ek_add_row_portable_s8(row, a + (size_t)done * row->a_step, b + (size_t)done * row->b_step,
                           y + done, count - done);
}
