#include "ek_lead.h"

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

uint32_t ek_window_lead(const ek_call *call, const ek_tensor *x, const ek_tensor *y,
                        uint32_t stride_h, uint32_t pad_top) {
    if (x->dims[0] != 1) {
        return EK_APART;
    }
    /* It grows up to the first row that reads from the top, and is linear behind it. */
    const uint32_t last = y->dims[1] - 1;
    const uint32_t bend = (uint32_t)(ek_param(call, pad_top) / ek_param(call, stride_h));
    const uint32_t rows[3] = {bend, bend + 1, last};
    int64_t lead = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const int64_t row = rows[i] < last ? rows[i] : last;
        const int64_t first = larger(0, row * ek_param(call, stride_h) - ek_param(call, pad_top));
        lead =
            larger(lead, (row + 1) * (y->dims[2] * y->dims[3]) - first * (x->dims[2] * x->dims[3]));
    }
    return (uint32_t)lead;
}

uint32_t ek_rows_lead(uint32_t rows, uint32_t k, uint32_t n) {
    /* The first two, the last two, and a last one alone. */
    const uint32_t even = rows & ~1u;
    int64_t lead = (int64_t)(rows < 2 ? rows : 2) * n;
    if (even != 0) {
        lead = larger(lead, (int64_t)even * n - (int64_t)(even - 2) * k);
        lead = larger(lead, (int64_t)rows * n - (int64_t)even * k);
    }
    return (uint32_t)lead;
}
