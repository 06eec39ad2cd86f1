#include "ek_matmul_s8.h"

/* The ways to finish a sum, each its own copy of the loops: the choice is made once per call. */
typedef enum mode { CHANNEL_DOUBLE, CHANNEL_SINGLE, TENSOR_DOUBLE, TENSOR_SINGLE } mode;

static inline int8_t finish(const ek_matmul *m, mode how, const uint8_t *requant, int32_t sum) {
    const ek_output out = {m->y_zero_point, m->y_min, m->y_max};
    const int per_channel = how == CHANNEL_DOUBLE || how == CHANNEL_SINGLE;
    const int32_t multiplier = per_channel ? ek_get_i32(requant + 4) : m->multiplier;
    const int32_t shift = per_channel ? ek_get_i32(requant + 8) : m->shift;
    sum = ek_add_wrap(sum, ek_get_i32(requant));
    if (how == CHANNEL_SINGLE || how == TENSOR_SINGLE) {
        return ek_finish_single(sum, multiplier, shift, out);
    }
    return ek_finish_double(sum, multiplier, shift, out);
}

/* Two rows at once, two columns at a time: 4 loads for 4 products. */
static inline void two_rows(const ek_matmul *m, mode how, const int8_t *x, int8_t *y) {
    const size_t step = how == CHANNEL_DOUBLE || how == CHANNEL_SINGLE ? 12 : 4;
    const uint32_t k = m->k;
    const int8_t *w = m->weights;
    const uint8_t *requant = m->requant;
    int8_t *y0 = y;
    int8_t *y1 = y + m->n;
    uint32_t n = m->n;
    for (; n >= 2; n -= 2) {
        const int8_t *x0 = x;
        const int8_t *x1 = x + k;
        const int8_t *w1 = w + k;
        int32_t s00 = 0;
        int32_t s01 = 0;
        int32_t s10 = 0;
        int32_t s11 = 0;
        for (uint32_t i = k; i != 0; i--) {
            int32_t a0 = *x0++;
            int32_t a1 = *x1++;
            int32_t b0 = *w++;
            int32_t b1 = *w1++;
            s00 += a0 * b0;
            s01 += a0 * b1;
            s10 += a1 * b0;
            s11 += a1 * b1;
        }
        w = w1;
        *y0++ = finish(m, how, requant, s00);
        *y1++ = finish(m, how, requant, s10);
        requant += step;
        *y0++ = finish(m, how, requant, s01);
        *y1++ = finish(m, how, requant, s11);
        requant += step;
    }
    if (n != 0) {
        const int8_t *x0 = x;
        const int8_t *x1 = x + k;
        int32_t s0 = 0;
        int32_t s1 = 0;
        for (uint32_t i = k; i != 0; i--) {
            int32_t b = *w++;
            s0 += *x0++ * b;
            s1 += *x1++ * b;
        }
        *y0 = finish(m, how, requant, s0);
        *y1 = finish(m, how, requant, s1);
    }
}

static inline void one_row(const ek_matmul *m, mode how, const int8_t *x, int8_t *y) {
    const size_t step = how == CHANNEL_DOUBLE || how == CHANNEL_SINGLE ? 12 : 4;
    const uint32_t k = m->k;
    const int8_t *w = m->weights;
    const uint8_t *requant = m->requant;
    uint32_t n = m->n;
    for (; n >= 2; n -= 2) {
        const int8_t *x0 = x;
        const int8_t *w1 = w + k;
        int32_t s0 = 0;
        int32_t s1 = 0;
        for (uint32_t i = k; i != 0; i--) {
            int32_t a = *x0++;
            s0 += a * *w++;
            s1 += a * *w1++;
        }
        w = w1;
        *y++ = finish(m, how, requant, s0);
        requant += step;
        *y++ = finish(m, how, requant, s1);
        requant += step;
    }
    if (n != 0) {
        const int8_t *x0 = x;
        int32_t s0 = 0;
        for (uint32_t i = k; i != 0; i--) {
            s0 += *x0++ * *w++;
        }
        *y = finish(m, how, requant, s0);
    }
}

static inline void all_rows(const ek_matmul *m, mode how, uint32_t rows, int8_t *y) {
    const int8_t *x = m->x;
    int8_t *gathered = (int8_t *)m->scratch;
    for (uint32_t row = 0; row < rows; row += 2) {
        const uint32_t left = rows - row;
        if (m->gather != NULL) {
            x = gathered;
            m->gather(m->call, row, gathered);
            if (left >= 2) {
                m->gather(m->call, row + 1, gathered + m->k);
            }
        }
        if (left >= 2) {
            two_rows(m, how, x, y);
        } else {
            one_row(m, how, x, y);
        }
        x += 2 * (size_t)m->k;
        y += 2 * (size_t)m->n;
    }
}

void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y) {
    const int single = m->rounding == EK_ROUND_SINGLE;
    if (m->requant_stride == 12 && !single) {
        all_rows(m, CHANNEL_DOUBLE, rows, y);
    } else if (m->requant_stride == 12) {
        all_rows(m, CHANNEL_SINGLE, rows, y);
    } else if (single) {
        all_rows(m, TENSOR_SINGLE, rows, y);
    } else {
        all_rows(m, TENSOR_DOUBLE, rows, y);
    }
}
