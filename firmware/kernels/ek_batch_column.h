/* One column of BATCH_MATMUL. */
#ifndef EK_BATCH_COLUMN_H
#define EK_BATCH_COLUMN_H

#include "ek_fixed.h"
#include "ek_kernel.h"

/* Rows of a times a column of b whose zero point is taken off. */
typedef struct ek_batch_column {
    const int8_t *a;
    size_t a_row;  /* elements from a row of a to the next */
    size_t a_step; /* elements from a term to the next */
    const int16_t *column;
    uint32_t terms;
    uint32_t rows;
    int32_t offset; /* added to every sum */
    int32_t multiplier;
    int32_t shift;
    int32_t rounding;
    ek_output out;
} ek_batch_column;

static inline int8_t ek_batch_finish(const ek_batch_column *t, int32_t sum) {
    return t->rounding == EK_ROUND_SINGLE ? ek_finish_single(sum, t->multiplier, t->shift, t->out)
                                          : ek_finish_double(sum, t->multiplier, t->shift, t->out);
}

/* Writes a column of y, elements y_step apart. */
void ek_batch_column_s8(const ek_batch_column *column, int8_t *y, size_t y_step);

#endif
