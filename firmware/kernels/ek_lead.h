/* How far an output must begin before the input that it overwrites. */
#ifndef EK_LEAD_H
#define EK_LEAD_H

#include "ek_kernel.h"

/* Lead of a window that slides over x [1, H, W, C] and finishes row by row of y [1, OH, OW, M]:
 * row oy is written while rows from oy * stride_h - pad_top are still read. EK_APART for more than
 * one image. stride_h, pad_top: numbers of the params. Twin: edgekit/ops/base.py, window_lead. */
uint32_t ek_window_lead(const ek_call *call, const ek_tensor *x, const ek_tensor *y,
                        uint32_t stride_h, uint32_t pad_top);

/* Lead of a product that reads two rows of k bytes while it writes them as n bytes each. Twin:
 * edgekit/ops/base.py, rows_lead. */
uint32_t ek_rows_lead(uint32_t rows, uint32_t k, uint32_t n);

#endif
