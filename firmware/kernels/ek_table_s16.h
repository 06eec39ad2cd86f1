/* Functions of one int16 as a table of 513 values, interpolated between them. */
#ifndef EK_TABLE_S16_H
#define EK_TABLE_S16_H

#include "ek_wide.h"

enum { EK_TABLE_16 = 513 };

/* table[256 + x / 128], interpolated. Source: tensorflow/lite/kernels/internal/common.h,
 * LUTLookup of int16_t. */
static inline int32_t ek_table_look(const int16_t *table, int32_t x) {
    const int16_t *base = table + 256 + (x >> 7);
    /* A difference of two entries wraps to 16 bits, as there. */
    const int32_t slope = (int16_t)(base[1] - base[0]);
    return (int16_t)(base[0] + ((slope * (x & 127) + 64) >> 7));
}

static inline int ek_table_ok(const ek_tensor *table) {
    return table->type == EK_S16 && table->constant != 0 && table->count == EK_TABLE_16;
}

#endif
