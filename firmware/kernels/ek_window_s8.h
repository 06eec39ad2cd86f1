/* One pixel of DEPTHWISE_CONV_2D, any window. */
#ifndef EK_WINDOW_S8_H
#define EK_WINDOW_S8_H

#include "ek_fixed.h"
#include "ek_kernel.h"

/* Params of DEPTHWISE_CONV_2D; those of a layer that begins with one begin so too. */
enum {
    STRIDE_H,
    STRIDE_W,
    DILATION_H,
    DILATION_W,
    PAD_TOP,
    PAD_LEFT,
    Y_MIN,
    Y_MAX,
    ROUNDING,
    WINDOW_PARAMS
};

/* One window: where it starts and how far its rows and columns lie apart, in elements. */
typedef struct ek_window {
    const int8_t *start;
    size_t row_step;
    size_t column_step;
} ek_window;

/* Tensors of the call from here on: x, weights, requant. */

/* Scratch for one patch of KH * KW * C bytes; 0 if no window of y crosses the border. */
uint32_t ek_window_scratch_bytes(const ek_call *call, const ek_tensor *y);

/* Copies the window that begins at row iy and column ix of an image, filling what lies outside with
 * the zero point. */
void ek_window_patch_s8(const ek_call *call, const int8_t *image, int32_t iy, int32_t ix,
                        int8_t *patch);

/* One output channel per input channel. */
void ek_window_s8(const ek_call *call, const ek_window *window, const ek_output *out, int8_t *y);

/* Several output channels per input channel. */
void ek_window_multiplied_s8(const ek_call *call, const ek_window *window, const ek_output *out,
                             int8_t *y);

#endif
