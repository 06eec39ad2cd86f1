/* Four rows of int8 times pairs of columns: the inside of packed products for DSP cores.
 * Portable C here, assembly in arch/dsp; both read the same stream of constants. */
#ifndef EK_TILE_DSP_H
#define EK_TILE_DSP_H

#include "ek_kernel.h"

/* How the weights of two columns share words, and how their sums are finished.
 * Twin: edgekit/ops/dsp_lanes.py, Form. */
typedef enum ek_form {
    EK_FORM_FLOOR = 0,        /* mixed lanes, two roundings, lowest output is the zero point */
    EK_FORM_DOUBLE = 1,       /* mixed lanes, two roundings */
    EK_FORM_SINGLE = 2,       /* mixed lanes, one rounding */
    EK_FORM_CLEAN_DOUBLE = 3, /* lanes apart, two roundings */
    EK_FORM_CLEAN_SINGLE = 4, /* lanes apart, one rounding */
    EK_FORMS = 5
} ek_form;

enum {
    EK_TILE_ROWS = 4,
    EK_PAIR_STARTS = 2, /* words in front of the weights of a pair of columns */
    EK_PAIR_LANES = 6   /* behind them: multiplier, addend, shift of either column */
};

/* Offsets are known to arch/dsp/ek_tile_dsp.S.
 * The stream has for each pair: what its sums start with, weights (a word has terms k and k + 2 of
 * both columns), lanes. Mixed lanes are 256 * odd + even in 16 bits, else two bytes. */
typedef struct ek_dsp_tile {
    const int16_t *x;      /* per 4 terms: terms 0, 2 of each row, then terms 1, 3 of each row */
    const uint8_t *stream; /* words, aligned */
    int8_t *y;             /* first row, first column */
    uint32_t pitch;        /* bytes from one row of y to the next */
    uint32_t pairs;        /* of columns, at least 1 */
    uint32_t terms;        /* a multiple of 4, at least 4 */
    uint32_t form;         /* ek_form */
} ek_dsp_tile;

/* Writes 4 rows of 2 * pairs columns, saturated to int8. */
void ek_tile_dsp(const ek_dsp_tile *tile);

/* Expands runs of 4 * words int8 of each of 4 rows to 16 bits in the order of ek_dsp_tile.x;
 * returns the end. step: bytes from one run of a row to its next. */
int16_t *ek_expand_dsp(const int8_t *const rows[EK_TILE_ROWS], uint32_t words, int16_t *to,
                       uint32_t runs, size_t step);

#endif
