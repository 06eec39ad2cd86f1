/* The products inside attention, for four rows of queries at a time; a faster form of the same file
 * may lay out queries and weights as it likes. */
#ifndef EK_ATTEND_S8_H
#define EK_ATTEND_S8_H

#include "ek_fixed.h"
#include "ek_kernel.h"

enum { EK_ATTEND_ROWS = 4 };

/* How one row is finished: its sums over the keys, divided by the sum of its weights. */
typedef struct ek_attend_row {
    int32_t multiplier;
    int32_t shift;  /* 1 .. 31 */
    int32_t offset; /* zero point of v times the sum of weights */
} ek_attend_row;

typedef struct ek_attend {
    int32_t *weights; /* [keys, 4], 0 .. 2^15; may be overwritten */
    const int8_t *v;  /* [keys, width], rows v_stride apart */
    size_t v_stride;
    uint32_t keys;
    uint32_t width;
    uint32_t rows; /* 1 .. 4 */
    ek_attend_row row[EK_ATTEND_ROWS];
    int8_t *y; /* [rows, width], rows y_stride apart */
    size_t y_stride;
    int32_t y_zero;
} ek_attend;

/* Elements of int16 that so many values of four rows take. */
static inline uint32_t ek_attend_lanes(uint32_t depth) {
    return EK_ATTEND_ROWS * ((depth + 3u) & ~3u);
}

/* Takes the zero point off rows of queries, 1 to 4, depth values each, and lays them side by side
 * in lanes. Rows that are missing become 0. */
void ek_attend_expand(const int8_t *q, size_t stride, uint32_t rows, uint32_t depth, int32_t zero,
                      int16_t *lanes);

/* scores [keys, 4]: sums of products of each key with the rows in lanes. */
void ek_attend_scores(const int16_t *lanes, const int8_t *k, size_t stride, uint32_t keys,
                      uint32_t depth, int32_t *scores);

/* Writes y: weights times v, finished. */
void ek_attend_mix(const ek_attend *a);

/* Writes columns of y from d on, from their sums over the keys: sums [columns, 4]. */
static inline void ek_attend_finish(const ek_attend *a, uint32_t d, uint32_t columns,
                                    const int32_t *sums) {
    int8_t *y = a->y + d;
    const int32_t zero = a->y_zero;
    for (uint32_t i = 0; i < a->rows; i++) {
        const ek_attend_row row = a->row[i];
        const int32_t half = 1 << (row.shift - 1);
        for (uint32_t c = 0; c < columns; c++) {
            const int32_t sum = sums[EK_ATTEND_ROWS * c + i] - row.offset;
            const int32_t high = (int32_t)(((int64_t)sum * row.multiplier) >> 32);
            y[c] = ek_clamp_s8(((high + half) >> row.shift) + zero, -128, 127);
        }
        y += i + 1 < a->rows ? a->y_stride : 0;
    }
}

#endif
