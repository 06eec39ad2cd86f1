/* A 3x3 depthwise convolution channel by channel, for DSP cores: four channels of some rows are
 * gathered into planes of int16 with their border, then each plane is convolved row by row. */
#ifndef EK_PLANES_DSP_H
#define EK_PLANES_DSP_H

#include "ek_rows_dsp.h"

enum { EK_PLANE_MAX_BYTES = 1 << 24 }; /* of scratch */

/* A depthwise convolution; rows and columns are those of the planes. */
typedef struct ek_planes {
    uint32_t images;
    uint32_t height;
    uint32_t width;
    uint32_t out_h;
    uint32_t out_w;
    uint32_t channels;
    uint32_t stride; /* 1 or 2 */
    uint32_t pad_top;
    uint32_t pad_left;
    uint32_t band; /* rows of output at a time */
    size_t x_column;
    size_t x_row;
    size_t y_column;
    size_t y_row;
    uint32_t form;
    int32_t low;
    int32_t high;
} ek_planes;

/* True if what all checks have in common holds: params stride, pad_top, pad_left, y_min, y_max,
 * form from 0. */
int ek_planes_ok(const ek_call *call);

/* Scratch for the planes of a band; above EK_PLANE_MAX_BYTES: too much. */
uint64_t ek_planes_scratch(const ek_planes *p);

void ek_planes_convolve(const ek_planes *p, const ek_call *call);

#endif
