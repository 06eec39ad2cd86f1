/* A convolution as packed products for DSP cores: patches of four output pixels at a time. */
#ifndef EK_PATCHES_DSP_H
#define EK_PATCHES_DSP_H

#include "ek_tile_dsp.h"

/* A convolution; a dense layer of several rows is one of 1x1 over an image of one line. */
typedef struct ek_patches {
    uint32_t images;
    uint32_t height;
    uint32_t width;
    uint32_t channels;
    uint32_t kernel_h;
    uint32_t kernel_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t dilation_h;
    int32_t dilation_w;
    int32_t pad_top;
    int32_t pad_left;
    uint32_t out_h;
    uint32_t out_w;
    uint32_t outputs; /* channels of y */
} ek_patches;

/* How the output is written. */
typedef struct ek_patches_end {
    uint32_t form; /* ek_form */
    int32_t low;
    int32_t high;
} ek_patches_end;

/* Words of the stream of constants. Its terms have zeros among them: each run of neighbouring
 * values in a patch is filled up to a multiple of 4. A run is a row of the kernel, or a tap where
 * taps are dilated. kernel_h * kernel_w * channels may be at most EK_MAX_TERMS. */
uint64_t ek_patches_words(const ek_patches *p);

uint32_t ek_patches_scratch(const ek_patches *p);

/* Twin: edgekit/ops/dsp_patches.py, lead. */
uint32_t ek_patches_lead(const ek_patches *p);

void ek_patches_multiply(const ek_patches *p, const ek_tensor *x, const uint8_t *stream,
                         ek_patches_end end, int8_t *y, uint8_t *scratch);

#endif
