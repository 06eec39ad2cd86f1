/* The prepared kernels of x86-64 with AVX2. */
#ifndef EK_PREPARED_X86_H
#define EK_PREPARED_X86_H

#include "ek_prepared.h"

/* CONV_2D and FULLY_CONNECTED: weights as panels of int16, no patches. */
int ek_conv_2d_need(const ek_call *call, ek_prepared_need *need);
void ek_conv_2d_fill(const ek_call *call, void *constants);
void ek_conv_2d_ready(const ek_call *call, const void *constants, void *workspace);
int ek_fully_connected_need(const ek_call *call, ek_prepared_need *need);
void ek_fully_connected_fill(const ek_call *call, void *constants);
void ek_fully_connected_ready(const ek_call *call, const void *constants, void *workspace);

/* DEPTHWISE_CONV_2D: pairs of neighbouring taps, for all lines that they reach over. */
int ek_depthwise_need(const ek_call *call, ek_prepared_need *need);
void ek_depthwise_fill(const ek_call *call, void *constants);
void ek_depthwise_ready(const ek_call *call, const void *constants, void *workspace);

#endif
