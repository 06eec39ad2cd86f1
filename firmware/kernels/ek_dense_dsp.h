/* One row of int8 times groups of eight columns: packed dense layers for DSP cores. */
#ifndef EK_DENSE_DSP_H
#define EK_DENSE_DSP_H

#include "ek_tile_dsp.h"

enum { EK_DENSE_GROUP = 8, EK_DENSE_LANES = 3 * EK_DENSE_GROUP };

/* Offsets are known to arch/dsp/ek_dense_dsp.S.
 * The stream has for each group: what its 8 sums start with, then per 4 terms for each of 4 pairs
 * of columns a word of terms 0, 2 and one of terms 1, 3. Lanes are as in ek_tile_dsp.h, 8 a group.
 */
typedef struct ek_dsp_dense {
    const int8_t *x; /* [4 * words] */
    const uint8_t *stream;
    const uint8_t *lanes;
    uint32_t lanes_step; /* bytes from one group's lanes to the next's; 0: all have the same */
    int8_t *y;
    uint32_t groups; /* at least 1 */
    uint32_t words;  /* at least 1 */
    uint32_t form;   /* ek_form, not EK_FORM_FLOOR */
} ek_dsp_dense;

/* Writes 8 * groups outputs, saturated to int8. */
void ek_dense_dsp(const ek_dsp_dense *dense);

#endif
