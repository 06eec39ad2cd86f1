/* One row of a depthwise convolution with 3x3 taps, up to 16 channels, as cores with MVE do.
 *
 * Columns of three pixels are laid out as one word per channel: [column, 16 channels, 4 rows]. Four
 * neighbouring columns of a channel are 16 products; weights beyond 3x3 are zero. */
#ifndef EK_COLUMNS_MVE_H
#define EK_COLUMNS_MVE_H

#include "ek_tile_mve.h"

enum { EK_COLUMN_CHANNELS = 16, EK_COLUMN_BYTES = 64 };

/* The order of the fields is known to arch/mve/ek_columns_mve.S. */
typedef struct ek_columns_mve {
    const int8_t *rows[3];
    size_t row_steps[3]; /* bytes from a column to the next; 0: the same again */
    int8_t *columns;     /* where the first one goes */
    uint32_t count;      /* columns, 1 .. */
    uint32_t channels;   /* 4, 8, 12 or 16 */
    const int8_t *first; /* columns of the first output pixel */
    size_t stride;       /* bytes from there to those of the next */
    const uint8_t *w;    /* a record of ek_tile_mve.h per 4 channels: 16 taps, columns first */
    int8_t *y;
    size_t y_step;
    uint32_t pixels; /* of the output, 1 .. */
    int32_t zero_point;
    int32_t low;
    int32_t high;
} ek_columns_mve;

typedef void (*ek_columns_mve_fn)(const ek_columns_mve *row);

/* Lays out columns, then convolves; rounding as ek_tile_double_mve and ek_tile_away_mve. */
void ek_columns_double_mve(const ek_columns_mve *row);
void ek_columns_away_mve(const ek_columns_mve *row);

#endif
