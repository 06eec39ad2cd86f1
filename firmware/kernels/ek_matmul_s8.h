/* Rows of int8 times a constant int8 matrix: the inside of convolutions and dense layers. */
#ifndef EK_MATMUL_S8_H
#define EK_MATMUL_S8_H

#include "ek_fixed.h"
#include "ek_kernel.h"

/* Writes row number `row` of the left matrix, k bytes, where it is not stored as such. */
typedef void (*ek_gather_fn)(const ek_call *call, uint32_t row, int8_t *to);

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
    int32_t rounding;    /* EK_ROUND_DOUBLE or EK_ROUND_SINGLE */
    const int8_t *x;     /* [rows, k] if gather is NULL */
    ek_gather_fn gather; /* else makes one row after the other */
    const ek_call *call; /* for gather */
    uint8_t *scratch;    /* ek_matmul_scratch_bytes, 16-byte aligned */
} ek_matmul;

/* y: [rows, n]. Biases contain the input offset: bias - x_zero_point * sum(weights). */
void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y);

/* Scratch of a product: two rows, if they are gathered. Twin: edgekit/ops/base.py, matmul_scratch
 */
static inline uint32_t ek_matmul_scratch_bytes(uint32_t k, int gathers) {
    return gathers ? 2u * k : 0;
}

/* Finishes a sum of products with the constants of its column; requant points to their row. */
static inline int8_t ek_matmul_finish(const ek_matmul *m, const uint8_t *requant, int32_t sum) {
    const ek_output out = {m->y_zero_point, m->y_min, m->y_max};
    const int per_channel = m->requant_stride == 12;
    const int32_t multiplier = per_channel ? ek_get_i32(requant + 4) : m->multiplier;
    const int32_t shift = per_channel ? ek_get_i32(requant + 8) : m->shift;
    sum = ek_add_wrap(sum, ek_get_i32(requant));
    return m->rounding == EK_ROUND_SINGLE ? ek_finish_single(sum, multiplier, shift, out)
                                          : ek_finish_double(sum, multiplier, shift, out);
}

#endif
