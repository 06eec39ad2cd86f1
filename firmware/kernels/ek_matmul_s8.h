/* Rows of int8 times a constant int8 matrix: the inside of convolutions and dense layers. */
#ifndef EK_MATMUL_S8_H
#define EK_MATMUL_S8_H

#include <stdint.h>

typedef struct ek_matmul {
    const int8_t *weights;   /* [n, k] */
    const uint8_t *requant;  /* int32 [n, 3] bias, multiplier, shift, or [n, 1] bias */
    uint32_t requant_stride; /* bytes from one row of requant to the next: 12 or 4 */
    int32_t multiplier;      /* where requant has one column */
    int32_t shift;
    uint32_t n;
    uint32_t k;
    int32_t y_zero_point;
    int32_t y_min;
    int32_t y_max;
    int32_t rounding; /* EK_ROUND_DOUBLE or EK_ROUND_SINGLE */
} ek_matmul;

/* x: [rows, k], y: [rows, n]. Biases contain the input offset: bias - x_zero_point * sum(weights).
 */
void ek_matmul_s8(const ek_matmul *m, const int8_t *x, uint32_t rows, int8_t *y);

#endif
