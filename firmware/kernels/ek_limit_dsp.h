/* Clamping outputs that are written already. */
#ifndef EK_LIMIT_DSP_H
#define EK_LIMIT_DSP_H

#include <stddef.h>
#include <stdint.h>

/* Clamps count int8 to [low, high]. */
void ek_limit_dsp(int8_t *y, size_t count, int32_t low, int32_t high);

#endif
