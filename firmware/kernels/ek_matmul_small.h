/* Rows of int8 times packed weights: the inside of packed convolutions and dense layers. */
#ifndef EK_MATMUL_SMALL_H
#define EK_MATMUL_SMALL_H

#include "ek_fixed.h"
#include "ek_small.h"

/* Where the terms of one pixel go: to every fourth word of a tile, or to bytes. */
typedef struct ek_small_sink {
    uint32_t *words; /* NULL: to bytes */
    int8_t *bytes;
    uint32_t sum; /* of all terms */
} ek_small_sink;

/* Appends count terms. */
void ek_small_put(ek_small_sink *sink, const int8_t *x, size_t count);

/* Appends a term count times. */
void ek_small_fill(ek_small_sink *sink, int32_t value, size_t count);

/* Appends the terms of the next pixel. */
typedef void (*ek_small_next)(void *state, ek_small_sink *sink);

typedef struct ek_small_matmul {
    const uint8_t *weights;  /* [groups][k][4] */
    const uint8_t *requant;  /* int32 [n, 3] bias, multiplier, shift, or [n, 1] bias */
    uint32_t requant_stride; /* bytes from one row of requant to the next: 12 or 4 */
    int32_t multiplier;      /* where requant has one column */
    int32_t shift;
    uint32_t n;
    uint32_t k;
    uint32_t tiled; /* 1: four pixels at a time */
    ek_output out;
    int32_t rounding;
    const int8_t *x; /* [rows, k]; NULL: next makes one row after the other */
    ek_small_next next;
    void *state;
    uint8_t *scratch; /* ek_matmul_small_scratch_bytes, 16-byte aligned */
} ek_small_matmul;

/* y: [rows, n]. */
void ek_matmul_small(const ek_small_matmul *m, uint32_t rows, int8_t *y);

/* Scratch: sums of a tile and its pixels; else one pixel, if it is made.
 * Twin: edgekit/ops/small.py, product_scratch */
static inline uint32_t ek_matmul_small_scratch_bytes(uint32_t k, int tiled, int made) {
    return tiled ? EK_SMALL_SUMS + 4u * EK_SMALL_PIXELS * k : (made ? k : 0);
}

/* Bytes by which y must begin before x if x has a row after the other: a pixel is written while it
 * is read. Twin: edgekit/ops/small.py, _lead_rows */
static inline uint32_t ek_small_rows_lead(uint32_t rows, uint32_t k, uint32_t n) {
    const uint64_t lead = n + (n > k ? (uint64_t)(rows - 1) * (n - k) : 0);
    return lead > EK_MAX_INDEX ? EK_APART : (uint32_t)lead;
}

#endif
