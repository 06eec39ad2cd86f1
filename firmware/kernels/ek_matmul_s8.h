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

enum {
    EK_TILE_BYTES = 3072, /* of expanded rows that a tile should have at most */
    EK_TILE_MIN = 8,      /* rows, however long */
    EK_TILE_MAX = 32,
    EK_TILE_LEAST_ROWS = 4, /* with fewer, rows are multiplied one by one */
    EK_TILE_TERMS = 65535
};

static inline uint32_t ek_round_up_4(uint32_t value) {
    return (value + 3u) & ~3u;
}

/* Rows that a fast kernel expands at a time, a multiple of 4; 0 if it does not. */
static inline uint32_t ek_tile_rows(uint32_t k, uint32_t rows) {
    if (rows < EK_TILE_LEAST_ROWS || k > EK_TILE_TERMS) {
        return 0;
    }
    uint32_t tile = EK_TILE_BYTES / (2u * ek_round_up_4(k)) & ~3u;
    tile = tile < EK_TILE_MIN ? EK_TILE_MIN : tile;
    tile = tile > EK_TILE_MAX ? EK_TILE_MAX : tile;
    return tile < rows ? tile : rows & ~3u;
}

/* Scratch of a product: a tile of rows and a pair of weight rows, both expanded to 16 bits; or two
 * gathered rows. Portable kernels use only the second, yet one plan serves every core.
 * Twin: edgekit/ops/base.py, matmul_scratch */
static inline uint32_t ek_matmul_scratch_bytes(uint32_t k, uint32_t rows, int gathers) {
    const uint32_t tile = ek_tile_rows(k, rows);
    const uint32_t fast = tile == 0 ? 0 : 2u * ek_round_up_4(k) * (tile + 2u);
    const uint32_t slow = gathers ? 2u * k : 0;
    return fast > slow ? fast : slow;
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
