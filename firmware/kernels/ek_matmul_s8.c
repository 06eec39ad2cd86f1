#include "ek_matmul_s8.h"

/* 4 loads for 4 products. */
static inline const int8_t *four_products(const int8_t *x0, const int8_t *x1, const int8_t *w,
                                          uint32_t k, int32_t s[4]) {
    const int8_t *w1 = w + k;
    for (uint32_t i = k; i != 0; i--) {
        const int32_t a0 = *x0++;
        const int32_t a1 = *x1++;
        const int32_t b0 = *w++;
        const int32_t b1 = *w1++;
        s[0] += a0 * b0;
        s[1] += a0 * b1;
        s[2] += a1 * b0;
        s[3] += a1 * b1;
    }
    return w1;
}

static inline const int8_t *two_products(const int8_t *x, const int8_t *w, uint32_t k,
                                         int32_t s[2]) {
    const int8_t *w1 = w + k;
    for (uint32_t i = k; i != 0; i--) {
        const int32_t a = *x++;
        s[0] += a * *w++;
        s[1] += a * *w1++;
    }
    return w1;
}

static inline int32_t one_product(const int8_t *x, const int8_t *w, uint32_t k) {
    int32_t s = 0;
    for (uint32_t i = k; i != 0; i--) {
        s += *x++ * *w++;
    }
    return s;
}

#include "ek_matmul_rows.h"

void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y) {
    matmul_all(m, rows, y);
}
