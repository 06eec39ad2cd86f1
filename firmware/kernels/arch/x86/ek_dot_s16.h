/* Products of int16 rows with the vector instructions of x86-64, chosen while running. */
#ifndef EK_DOT_S16_H
#define EK_DOT_S16_H

#include <stddef.h>
#include <stdint.h>

enum {
    EK_DOT_COLUMNS = 4,
    EK_DOT_STEP = 16,      /* terms that a step takes; rows are padded with zeros to a multiple */
    EK_DOT_TERMS = 4096,   /* at most, padded */
    EK_DOT_VALUES = 16384, /* of x at a time */
    EK_DOT_ROWS = 16       /* of x at a time, at most */
};

/* sums[row][column] = sum over terms of x[row][term] * w[column][term]; terms: a multiple of
 * EK_DOT_STEP. Products of two neighbours fit 31 bits. */
typedef void (*ek_dot_fn)(const int16_t *x, const int16_t *w, size_t terms, size_t rows,
                          int32_t (*sums)[EK_DOT_COLUMNS]);

/* How the sums of up to 4 columns become int8. */
typedef struct ek_dot_output {
    int32_t bias[EK_DOT_COLUMNS];
    int64_t multiplier[EK_DOT_COLUMNS];
    int64_t addend[EK_DOT_COLUMNS];
    int64_t negative[EK_DOT_COLUMNS]; /* added where the sum is below 0 */
    int64_t shift[EK_DOT_COLUMNS];    /* 32 .. 62 */
    int64_t sign[EK_DOT_COLUMNS];     /* 2^(63 - shift) */
    int32_t zero_point;
    int32_t low;
    int32_t high;
} ek_dot_output;

/* Sets column `column`; false if the shift is none to the right. */
int ek_dot_output_set(ek_dot_output *out, size_t column, int32_t bias, int32_t multiplier,
                      int32_t shift, int rounding);

/* Finishes rows of sums into y, `step` bytes from row to row, of which `columns` are written. */
typedef void (*ek_finish_fn)(const ek_dot_output *out, int32_t (*sums)[EK_DOT_COLUMNS], size_t rows,
                             int8_t *y, size_t step, size_t columns);

/* Extends count int8 to int16, minus zero, and fills with zeros up to terms. */
typedef void (*ek_extend_fn)(const int8_t *from, size_t count, int32_t zero, size_t terms,
                             int16_t *to);

/* One row of x times 4 columns of int8 weights that lie `terms` apart; any terms. */
typedef void (*ek_dot_row_fn)(const int16_t *x, const int8_t *w, size_t terms,
                              int32_t sums[EK_DOT_COLUMNS]);

typedef struct ek_dot {
    ek_dot_fn dot;
    ek_dot_row_fn dot_row;
    ek_finish_fn finish;
    ek_extend_fn extend;
} ek_dot;

/* What this processor does fastest; NULL if it has no AVX2. */
const ek_dot *ek_dot_choose(void);

static inline size_t ek_dot_padded(size_t terms) {
    return (terms + EK_DOT_STEP - 1) / EK_DOT_STEP * EK_DOT_STEP;
}

/* Rows of x that are taken at a time. */
static inline size_t ek_dot_rows(size_t padded) {
    const size_t rows = EK_DOT_VALUES / padded;
    return rows > EK_DOT_ROWS ? EK_DOT_ROWS : rows;
}

#endif
