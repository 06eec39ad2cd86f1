/* Two columns times blocks of four rows: the innermost loop of a matrix product, in assembly. */
#ifndef EK_TILE_S8_H
#define EK_TILE_S8_H

#include "ek_lane.h"

/* Offsets are known to ek_tile_s8.S. */
typedef struct ek_tile {
    const uint32_t *x; /* per 4 rows: per 2 terms: 4 words of 2 int16, each value doubled */
    const uint32_t *w; /* per 2 terms: a word of 2 int16 of each column */
    int8_t *y;         /* row 0, first of the two columns */
    uint32_t n;        /* bytes from one row of y to the next */
    uint32_t blocks;   /* of 4 rows, at least 1 */
    uint32_t pairs;    /* of terms, at least 2 */
    int32_t bias[2];   /* doubled */
    ek_lane lane[2];
} ek_tile;

/* Outputs saturate to int8; sums must stay below 2^30. */
void ek_tile_double_s8(const ek_tile *tile);
void ek_tile_single_s8(const ek_tile *tile);

#endif
