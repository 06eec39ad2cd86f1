/* Products of int16 matrices with the vector instructions of x86-64 (AVX2). */
#ifndef EK_DOT_S16_H
#define EK_DOT_S16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ek_fixed.h"

enum {
    EK_DOT_COLUMNS = 16,   /* of a panel */
    EK_DOT_TERMS = 4096,   /* at most */
    EK_DOT_VALUES = 32768, /* of x at a time; one more may be read */
    EK_DOT_ROWS = 128      /* of x at a time, at most */
};

/* How eight sums become int8: scaled as ek_multiply_double or ek_multiply_single do. */
typedef struct ek_dot_output {
    int32_t bias[8];
    int32_t multiplier[9];  /* and one that does not count: all are also read from the second on */
    int32_t shift[8];       /* to the right, after one by 32 */
    int64_t addend_even[4]; /* halves that rounding adds */
    int64_t addend_odd[4];
    int64_t negative; /* 2^31 if negative products are rounded down by that much, else 0 */
    int32_t zero_point;
    int32_t low;
    int32_t high;
} ek_dot_output;

/* Sets column `column` of 8; all of one rounding. False if the shift is none to the right. */
static inline int ek_dot_output_set(ek_dot_output *out, size_t column, int32_t bias,
                                    int32_t multiplier, int32_t shift, int rounding) {
    if (shift > -1) {
        return 0;
    }
    const int32_t right = -shift;
    int64_t addend = INT64_C(1) << (30 + right);
    out->negative = 0;
    if (rounding == EK_ROUND_DOUBLE) {
        /* Both roundings in one sum: the first adds 2^30, the second 2^(30 + right) and, so that
         * ties go away from zero, takes 2^31 off negative products. */
        addend += INT64_C(1) << 30;
        out->negative = INT64_C(1) << 31;
    }
    out->bias[column] = bias;
    out->multiplier[column] = multiplier;
    out->shift[column] = right - 1;
    *(column % 2 == 0 ? &out->addend_even[column / 2] : &out->addend_odd[column / 2]) = addend;
    return 1;
}

/* Sets all 8 columns alike, without bias. False as above. */
static inline int ek_dot_output_fill(ek_dot_output *out, int32_t multiplier, int32_t shift,
                                     int rounding) {
    int fits = 1;
    for (size_t i = 0; i < 8; i++) {
        fits = ek_dot_output_set(out, i, 0, multiplier, shift, rounding) && fits;
    }
    return fits;
}

/* Sets 8 columns from int32 [8, 3] of bias, multiplier and shift, all shifts to the right. */
void ek_dot_output_rows(ek_dot_output *out, const uint8_t *rows, int rounding);

/* An int8 matrix where it lies; its elements count minus `zero`. */
typedef struct ek_dot_matrix {
    const int8_t *data;
    size_t line; /* elements from a row of x, or a column of w, to the next */
    size_t step; /* elements from a term to the next */
    int32_t zero;
} ek_dot_matrix;

/* True if this processor has AVX2. The functions below may be called only then. */
int ek_dot_ready(void);

/* Rows of x that are taken at a time. */
static inline size_t ek_dot_rows(size_t terms) {
    const size_t rows = EK_DOT_VALUES / terms;
    return rows > EK_DOT_ROWS ? EK_DOT_ROWS : rows;
}

/* x[i] = from[i] - zero. */
void ek_dot_widen(const int8_t *from, size_t count, int32_t zero, int16_t *x);

/* x: int16 [rows, terms]. */
void ek_dot_extend(const ek_dot_matrix *from, size_t terms, size_t rows, int16_t *x);

/* panel: int16 [terms / 2, 16, 2], 32-byte aligned: pairs of terms of `columns` columns, 1 to 16.
 * Columns that are missing repeat others. */
void ek_dot_pack(const ek_dot_matrix *from, size_t terms, size_t columns, int16_t *panel);

/* What a product needs besides x. A row of x is one or more segments of neighbouring terms. */
typedef struct ek_dot_panels {
    const int16_t *weights;   /* panels of 16 columns, [segments, pairs, 16, 2], 32-byte aligned */
    const ek_dot_output *out; /* for 8 columns each, two for every panel */
    const uint32_t *starts;   /* of the segments, in elements from the first term of a row */
    size_t segments;
    size_t pairs; /* of terms, in a segment */
    size_t columns;
    size_t y_step; /* bytes from a row of y to the next */
} ek_dot_panels;

/* The first column of the panel for columns [n, n + 16): the last panel of several is full, or has
 * the last 8 columns, so that it takes some that were taken before. */
static inline size_t ek_dot_first(size_t columns, size_t n) {
    if (columns < EK_DOT_COLUMNS || n + EK_DOT_COLUMNS <= columns) {
        return n;
    }
    return columns - (columns - n > 8 ? EK_DOT_COLUMNS : 8);
}

/* y [count, columns]: rows of x, which begin at x + rows[i], times all panels, finished. */
void ek_dot_multiply(const ek_dot_panels *panels, const int16_t *x, const uint32_t *rows,
                     size_t count, int8_t *y);

/* Where rows lie that ek_dot_extend made. */
static inline void ek_dot_places(size_t terms, size_t rows, uint32_t *places) {
    for (size_t i = 0; i < rows; i++) {
        places[i] = (uint32_t)(i * terms);
    }
}

/* One panel that ek_dot_pack made, for such rows. */
static inline ek_dot_panels ek_dot_panel(const int16_t *panel, const ek_dot_output *out,
                                         size_t terms, size_t columns, size_t y_step) {
    static const uint32_t first = 0;
    const ek_dot_panels one = {panel, out, &first, 1, (terms + 1) / 2, columns, y_step};
    return one;
}

/* y [8]: one row of x times 8 columns of weights that lie `terms` apart. */
void ek_dot_row(const int16_t *x, const int8_t *w, size_t terms, const ek_dot_output *out,
                int8_t *y);

#endif
