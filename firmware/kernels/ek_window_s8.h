/* One pixel of DEPTHWISE_CONV_2D, any window. */
#ifndef EK_WINDOW_S8_H
#define EK_WINDOW_S8_H

#include "ek_fixed.h"
#include "ek_kernel.h"

/* Params of DEPTHWISE_CONV_2D. */
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
    PARAMS
};

/* One window: where it starts and how far its rows and columns lie apart, in elements. */
typedef struct ek_window {
    const int8_t *start;
    size_t row_step;
    size_t column_step;
} ek_window;

/* One output channel per input channel. */
void ek_window_s8(const ek_call *call, const ek_window *window, int8_t *y);

/* Several output channels per input channel. */
void ek_window_multiplied_s8(const ek_call *call, const ek_window *window, int8_t *y);

#endif
