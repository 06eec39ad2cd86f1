/* How far an output must begin before the input that it overwrites. */
#ifndef EK_LEAD_H
#define EK_LEAD_H

#include "ek_kernel.h"

static inline int64_t ek_lead_of_row(const ek_call *call, const ek_tensor *x, const ek_tensor *y,
                                     int64_t row, uint32_t stride_h, uint32_t pad_top) {
    int64_t first = row * ek_param(call, stride_h) - ek_param(call, pad_top);
    first = first < 0 ? 0 : first;
    return (row + 1) * y->dims[2] * y->dims[3] - first * x->dims[2] * x->dims[3];
}

/* Lead of a window that slides over x [1, H, W, C] and finishes row by row of y [1, OH, OW, M]:
 * row oy is written while rows from oy * stride_h - pad_top are still read. EK_APART for more than
 * one image. stride_h, pad_top: numbers of the params. Twin: edgekit/ops/mve.py, window_lead. */
static inline uint32_t ek_window_lead(const ek_call *call, const ek_tensor *x, const ek_tensor *y,
                                      uint32_t stride_h, uint32_t pad_top) {
    if (x->dims[0] != 1) {
        return EK_APART;
    }
    /* It grows up to the first row that reads from the top, and is linear behind it. */
    const int64_t last = (int64_t)y->dims[1] - 1;
    int64_t bend = ek_param(call, pad_top) / ek_param(call, stride_h);
    bend = bend < last ? bend : last;
    const int64_t rows[3] = {bend, bend < last ? bend + 1 : last, last};
    int64_t lead = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const int64_t needed = ek_lead_of_row(call, x, y, rows[i], stride_h, pad_top);
        lead = needed > lead ? needed : lead;
    }
    return (uint32_t)lead;
}

#endif
