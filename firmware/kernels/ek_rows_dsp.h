/* Gathering channels into planes of int16, and convolving the rows of a plane: the inside of packed
 * depthwise convolutions for DSP cores. Portable C here, assembly in arch/dsp. */
#ifndef EK_ROWS_DSP_H
#define EK_ROWS_DSP_H

#include "ek_kernel.h"

enum {
    EK_PLANES = 4,
    EK_PLANE_TAPS = 3,
    EK_PLANE_WORDS = 7 /* of the stream, per channel */
};

/* Offsets are known to arch/dsp/ek_rows_dsp.S, as those of ek_dsp_rows. */
typedef struct ek_dsp_gather {
    const int8_t *x; /* first pixel, first of four channels */
    size_t column;   /* bytes from one pixel to the next */
    size_t row;
    uint32_t width; /* pixels, at least 1 */
    uint32_t rows;  /* at least 1 */
    int16_t *to;    /* where the first pixel goes in the first plane */
    size_t pitch;   /* bytes from one row of a plane to the next, a multiple of 4 */
    size_t plane;   /* bytes from one plane to the next */
} ek_dsp_gather;

/* The stream of a channel: per row of the kernel a word of bytes w0, w1, w1, w2; twice the bias,
 * multiplier, addend, shift (as in ek_tile_dsp.h, EK_FORM_FLOOR or EK_FORM_DOUBLE of an even
 * column). */
typedef struct ek_dsp_rows {
    const int16_t *plane; /* aligned to 4 */
    int8_t *y;
    const uint8_t *stream;
    size_t column; /* bytes from one output to the next */
    size_t row;
    uint32_t width; /* outputs, at least 1 */
    uint32_t rows;  /* at least 1 */
    size_t pitch;
    uint32_t kind; /* 2 * (stride - 1) + form */
} ek_dsp_rows;

void ek_gather_planes_dsp(const ek_dsp_gather *gather);
void ek_convolve_rows_dsp(const ek_dsp_rows *rows);

#endif
