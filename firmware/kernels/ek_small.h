/* What the packed kernels for small cores share: cores with 8 registers to compute in, without long
 * multiplication, or without instructions on lanes.
 *
 * Weights of products are bytes w + 128, read without a sign, in groups of 4 outputs: [groups]
 * [terms][4]. So a sum has 128 * sum(x) too much, which is taken off once per pixel. Planes of
 * depthwise kernels are bytes x + 128; there 128 * sum(w) was taken off the bias when packing. Sums
 * wrap; packing proves that bias and products together stay below 2^29. */
#ifndef EK_SMALL_H
#define EK_SMALL_H

#include "ek_kernel.h"

enum {
    EK_SMALL_PIXELS = 4,  /* that a tile computes at a time */
    EK_SMALL_GROUP = 4,   /* outputs whose weights lie together */
    EK_SMALL_CHUNK = 32,  /* outputs that are summed before they are finished */
    EK_SMALL_ROW = 12,    /* bytes of bias, multiplier, shift */
    EK_SMALL_FLIP = 0x80, /* from int8 to its value + 128, and back */
    EK_SMALL_SUMS = 4 * EK_SMALL_PIXELS * EK_SMALL_CHUNK
};

/* How sums become int8. */
typedef struct ek_small_output {
    const uint8_t *rows; /* int32 bias, multiplier, shift of the first output, at a multiple of 4 */
    uint32_t row_step;   /* bytes to those of the next: EK_SMALL_ROW or 0 */
    uint32_t y_step;     /* bytes from one output to the next */
    int32_t offset;      /* added to each sum */
    int32_t zero_point;
    int32_t low;
    int32_t high;
    uint32_t single; /* 1: round once, 0: twice */
} ek_small_output;

/* Sums of 4 outputs for 4 pixels: sums[EK_SMALL_CHUNK * pixel + output] for w [terms][4] and x
 * [terms][4 pixels]; terms: at least 1. */
void ek_tile_small(const uint8_t *w, const uint32_t *x, uint32_t terms, uint32_t *sums);

/* Sums of 4 outputs for one pixel: w [terms][4] at a multiple of 4, x [terms], terms at least 1. */
void ek_column_small(const uint8_t *w, const int8_t *x, uint32_t terms, uint32_t *sums);

/* Rows of outputs of a 3x3 window in a plane of one channel. */
typedef struct ek_small_band {
    const uint8_t *plane; /* of the first window */
    uint32_t line;        /* bytes from one line of the plane to the next */
    uint32_t step_h;      /* bytes from one row of windows to the next */
    uint32_t step_w;      /* bytes from one window to the next */
    uint32_t rows;        /* at least 1 */
    uint32_t columns;     /* at least 1 */
} ek_small_band;

/* sums[row][column] for w [3][3]. */
void ek_band_small(const ek_small_band *band, const int32_t *w, uint32_t *sums);

/* y[i * y_step] from sums[i], i < count; count: at least 1. Multipliers are 0 or shifts negative.
 */
void ek_finish_small(const ek_small_output *out, const uint32_t *sums, int8_t *y, uint32_t count);

/* True if q is a constant int32 [n, 3] as ek_finish_small wants its rows. */
static inline int ek_small_rows_ok(const ek_tensor *q, uint32_t n) {
    if (!ek_requant_rows_ok(q, n)) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = q->data + (size_t)EK_SMALL_ROW * i;
        if (ek_get_i32(row + 4) != 0 && ek_get_i32(row + 8) >= 0) {
            return 0;
        }
    }
    return 1;
}

/* True if w is constant int8 [groups, terms, 4] for n outputs. */
static inline int ek_small_weights_ok(const ek_tensor *w, uint32_t n) {
    return w->type == EK_S8 && w->constant != 0 && w->rank == 3 && w->dims[2] == EK_SMALL_GROUP &&
           w->dims[1] <= EK_MAX_TERMS && n <= EK_MAX_INDEX &&
           w->dims[0] == (n + EK_SMALL_GROUP - 1) / EK_SMALL_GROUP;
}

#endif
