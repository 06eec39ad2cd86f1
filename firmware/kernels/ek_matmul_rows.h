/* The rows of ek_matmul_s8, for a source that says how sums of products are made. Before this
 * header it defines four_products: of rows x0, x1 with the rows w and w + k, into {x0 w, x0 w1, x1
 * w, x1 w1}; two_products: of a row x with the rows w and w + k; one_product: of two rows. The
 * first two return w + 2 k. */
#ifndef EK_MATMUL_ROWS_H
#define EK_MATMUL_ROWS_H

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

/* Two rows at once, two columns at a time. */
static inline void two_rows(const ek_matmul *m, mode how, const int8_t *x, int8_t *y) {
    const size_t step = how == CHANNEL_DOUBLE || how == CHANNEL_SINGLE ? 12 : 4;
    const uint32_t k = m->k;
    const int8_t *w = m->weights;
    const uint8_t *requant = m->requant;
    int8_t *y0 = y;
    int8_t *y1 = y + m->n;
    uint32_t n = m->n;
    for (; n >= 2; n -= 2) {
        int32_t s[4] = {0, 0, 0, 0};
        w = four_products(x, x + k, w, k, s);
        *y0++ = finish(m, how, requant, s[0]);
        *y1++ = finish(m, how, requant, s[2]);
        requant += step;
        *y0++ = finish(m, how, requant, s[1]);
        *y1++ = finish(m, how, requant, s[3]);
        requant += step;
    }
    if (n != 0) {
        int32_t s[2] = {0, 0};
        two_products(w, x, k, s);
        *y0 = finish(m, how, requant, s[0]);
        *y1 = finish(m, how, requant, s[1]);
    }
}

static inline void one_row(const ek_matmul *m, mode how, const int8_t *x, int8_t *y) {
    const size_t step = how == CHANNEL_DOUBLE || how == CHANNEL_SINGLE ? 12 : 4;
    const uint32_t k = m->k;
    const int8_t *w = m->weights;
    const uint8_t *requant = m->requant;
    uint32_t n = m->n;
    for (; n >= 2; n -= 2) {
        int32_t s[2] = {0, 0};
        w = two_products(x, w, k, s);
        *y++ = finish(m, how, requant, s[0]);
        requant += step;
        *y++ = finish(m, how, requant, s[1]);
        requant += step;
    }
    if (n != 0) {
        *y = finish(m, how, requant, one_product(x, w, k));
    }
}

static inline void matmul_rows(const ek_matmul *m, mode how, uint32_t rows, int8_t *y) {
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

/* The whole product; ek_matmul_s8 of the including source is this. */
static inline void matmul_all(const ek_matmul *m, uint32_t rows, int8_t *y) {
    const int single = m->rounding == EK_ROUND_SINGLE;
    if (m->requant_stride == 12 && !single) {
        matmul_rows(m, CHANNEL_DOUBLE, rows, y);
    } else if (m->requant_stride == 12) {
        matmul_rows(m, CHANNEL_SINGLE, rows, y);
    } else if (single) {
        matmul_rows(m, TENSOR_SINGLE, rows, y);
    } else {
        matmul_rows(m, TENSOR_DOUBLE, rows, y);
    }
}

#endif
