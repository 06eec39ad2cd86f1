/* One pixel of AVERAGE_POOL_2D. */
#ifndef EK_AVERAGE_H
#define EK_AVERAGE_H

#include "ek_fixed.h"
#include "ek_kernel.h"

/* A window of int8 [rows, columns, channels] whose rows lie `line` elements apart. */
typedef struct ek_average_window {
    const int8_t *start;
    size_t line;
    size_t channels;
    uint32_t rows;
    uint32_t columns;
} ek_average_window;

/* sum / count, ties away from zero. */
static inline int8_t ek_average_of(int32_t sum, int32_t count, int32_t low, int32_t high) {
    const int32_t half = count / 2;
    return ek_clamp_s8((sum > 0 ? sum + half : sum - half) / count, low, high);
}

/* Writes the average of each channel. */
void ek_average_s8(const ek_average_window *window, int32_t low, int32_t high, int8_t *y);

#endif
