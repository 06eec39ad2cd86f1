/* Products of rows of int8 with two multiplications per instruction, four terms of a row a word. */
#include "ek_matmul_s8.h"
#include "ek_dsp.h"

static inline int32_t sum_words(uint32_t even, uint32_t odd, uint32_t w, int32_t sum) {
    return ek_multiply_lanes(odd, ek_odd_s16(w), ek_multiply_lanes(even, ek_even_s16(w), sum));
}

/* 4 loads for 16 products. Inlined it would have too few registers. */
__attribute__((noinline)) static const int8_t *
four_products(const int8_t *x0, const int8_t *x1, const int8_t *w, uint32_t k, int32_t s[4]) {
    const int8_t *w1 = w + k;
    const int8_t *end = w + (k & ~3u);
    int32_t s00 = 0;
    int32_t s01 = 0;
    int32_t s10 = 0;
    int32_t s11 = 0;
    while (w != end) {
        const uint32_t b0 = ek_load_s8x4(w);
        const uint32_t b1 = ek_load_s8x4(w1);
        const uint32_t even0 = ek_even_s16(b0);
        const uint32_t odd0 = ek_odd_s16(b0);
        const uint32_t even1 = ek_even_s16(b1);
        const uint32_t odd1 = ek_odd_s16(b1);
        uint32_t a = ek_load_s8x4(x0);
        uint32_t even = ek_even_s16(a);
        uint32_t odd = ek_odd_s16(a);
        s00 = ek_multiply_lanes(odd, odd0, ek_multiply_lanes(even, even0, s00));
        s01 = ek_multiply_lanes(odd, odd1, ek_multiply_lanes(even, even1, s01));
        a = ek_load_s8x4(x1);
        even = ek_even_s16(a);
        odd = ek_odd_s16(a);
        s10 = ek_multiply_lanes(odd, odd0, ek_multiply_lanes(even, even0, s10));
        s11 = ek_multiply_lanes(odd, odd1, ek_multiply_lanes(even, even1, s11));
        x0 += 4;
        x1 += 4;
        w += 4;
        w1 += 4;
    }
    for (uint32_t i = k % 4; i != 0; i--) {
        const int32_t a0 = *x0++;
        const int32_t a1 = *x1++;
        const int32_t b0 = *w++;
        const int32_t b1 = *w1++;
        s00 += a0 * b0;
        s01 += a0 * b1;
        s10 += a1 * b0;
        s11 += a1 * b1;
    }
    s[0] = s00;
    s[1] = s01;
    s[2] = s10;
    s[3] = s11;
    return w1;
}

static inline const int8_t *two_products(const int8_t *x, const int8_t *w, uint32_t k,
                                         int32_t s[2]) {
    const int8_t *w1 = w + k;
    for (uint32_t i = k / 4; i != 0; i--) {
        const uint32_t a = ek_load_s8x4(x);
        const uint32_t even = ek_even_s16(a);
        const uint32_t odd = ek_odd_s16(a);
        s[0] = sum_words(even, odd, ek_load_s8x4(w), s[0]);
        s[1] = sum_words(even, odd, ek_load_s8x4(w1), s[1]);
        x += 4;
        w += 4;
        w1 += 4;
    }
    for (uint32_t i = k % 4; i != 0; i--) {
        const int32_t a = *x++;
        s[0] += a * *w++;
        s[1] += a * *w1++;
    }
    return w1;
}

static inline int32_t one_product(const int8_t *x, const int8_t *w, uint32_t k) {
    int32_t s = 0;
    for (uint32_t i = k / 4; i != 0; i--) {
        const uint32_t a = ek_load_s8x4(x);
        s = sum_words(ek_even_s16(a), ek_odd_s16(a), ek_load_s8x4(w), s);
        x += 4;
        w += 4;
    }
    for (uint32_t i = k % 4; i != 0; i--) {
        s += *x++ * *w++;
    }
    return s;
}

#include "ek_matmul_rows.h"

void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y) {
    matmul_all(m, rows, y);
}
