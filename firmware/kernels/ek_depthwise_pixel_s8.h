/* What computes the pixels of DEPTHWISE_CONV_2D: chosen once per run. */
#ifndef EK_DEPTHWISE_PIXEL_S8_H
#define EK_DEPTHWISE_PIXEL_S8_H

#include "ek_window_s8.h"

/* Computes all channels of one output pixel. */
typedef void (*ek_pixel_fn)(const ek_call *call, const ek_window *window, int8_t *y);

/* Prepares the scratch and returns what computes pixels; fast kernels replace this one. */
ek_pixel_fn ek_depthwise_pixel_s8(const ek_call *call);

enum { EK_DEPTHWISE_GROUP = 4, EK_DEPTHWISE_GROUP_BYTES = 136 };

/* Scratch for 3x3 weights as fast kernels want them: 136 bytes per group of 4 channels. The
 * portable kernel does not use it, yet one plan serves every core. Twin: edgekit/ops/conv.py,
 * _scratch_depthwise. */
static inline uint32_t ek_depthwise_scratch_bytes(const ek_call *call) {
    const ek_tensor *w = &call->tensors[1];
    const uint32_t channels = w->dims[3];
    if (w->dims[1] != 3 || w->dims[2] != 3 || channels != call->tensors[0].dims[3] ||
        channels < EK_DEPTHWISE_GROUP || channels > EK_MAX_TERMS) {
        return 0;
    }
    return (channels + EK_DEPTHWISE_GROUP - 1) / EK_DEPTHWISE_GROUP * EK_DEPTHWISE_GROUP_BYTES;
}

#endif
