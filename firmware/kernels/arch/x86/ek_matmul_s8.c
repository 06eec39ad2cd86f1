/* The product of ek_matmul_s8.h with the vector instructions of x86-64. Where the processor has
 * none, or constants do not fit them, the portable product runs. */
#define ek_matmul_s8 ek_matmul_portable_s8
#include "../../ek_matmul_s8.c"
#undef ek_matmul_s8

#include "ek_dot_s16.h"

/* Sets what finishes columns [first, first + count); false if a shift does not fit. */
static int set_output(const ek_matmul *m, uint32_t first, uint32_t count, ek_dot_output *out) {
    for (uint32_t i = 0; i < EK_DOT_COLUMNS; i++) {
        const uint32_t column = first + (i < count ? i : count - 1);
        const uint8_t *requant = m->requant + (size_t)m->requant_stride * column;
        const int per_channel = m->requant_stride == 12;
        const int32_t multiplier = per_channel ? ek_get_i32(requant + 4) : m->multiplier;
        const int32_t shift = per_channel ? ek_get_i32(requant + 8) : m->shift;
        if (!ek_dot_output_set(out, i, ek_get_i32(requant), multiplier, shift, m->rounding)) {
            return 0;
        }
    }
    out->zero_point = m->y_zero_point;
    out->low = m->y_min;
    out->high = m->y_max;
    return 1;
}

static void finish_portable(const ek_matmul *m, uint32_t first, uint32_t count,
                            int32_t (*sums)[EK_DOT_COLUMNS], size_t rows, int8_t *y) {
    for (size_t row = 0; row < rows; row++) {
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *requant = m->requant + (size_t)m->requant_stride * (first + i);
            y[row * m->n + i] = ek_matmul_finish(m, requant, sums[row][i]);
        }
    }
}

/* sums: rows of up to 4 columns; the first is `first`. */
static void finish_rows(const ek_matmul *m, const ek_dot *with, uint32_t first, uint32_t count,
                        int32_t (*sums)[EK_DOT_COLUMNS], size_t rows, int8_t *y) {
    ek_dot_output out;
    if (set_output(m, first, count, &out)) {
        with->finish(&out, sums, rows, y, m->n, count);
    } else {
        finish_portable(m, first, count, sums, rows, y);
    }
}

static void multiply_rows(const ek_matmul *m, const ek_dot *with, const int16_t *x, size_t terms,
                          size_t rows, int8_t *y) {
    int16_t w[EK_DOT_COLUMNS * EK_DOT_TERMS];
    int32_t sums[EK_DOT_ROWS][EK_DOT_COLUMNS];
    for (uint32_t n = 0; n < m->n; n += EK_DOT_COLUMNS) {
        const uint32_t count = m->n - n < EK_DOT_COLUMNS ? m->n - n : EK_DOT_COLUMNS;
        const int8_t *from = m->weights + (size_t)m->k * n;
        if (rows == 1 && count == EK_DOT_COLUMNS) {
            with->dot_row(x, from, m->k, sums[0]);
        } else {
            for (uint32_t i = 0; i < EK_DOT_COLUMNS; i++) {
                with->extend(from + (size_t)m->k * (i < count ? i : count - 1), m->k, 0, terms,
                             w + i * terms);
            }
            with->dot(x, w, terms, rows, sums);
        }
        finish_rows(m, with, n, count, sums, rows, y + n);
    }
}

void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y) {
    const ek_dot *with = ek_dot_choose();
    const size_t terms = ek_dot_padded(m->k);
    if (with == NULL || terms > EK_DOT_TERMS) {
        ek_matmul_portable_s8(m, rows, y);
        return;
    }
    int16_t x[EK_DOT_VALUES];
    const uint32_t most = (uint32_t)ek_dot_rows(terms);
    for (uint32_t row = 0; row < rows; row += most) {
        const uint32_t count = rows - row < most ? rows - row : most;
        for (uint32_t i = 0; i < count; i++) {
            const int8_t *from = m->x + (size_t)m->k * (row + i);
            if (m->gather != NULL) {
                m->gather(m->call, row + i, (int8_t *)m->scratch);
                from = (const int8_t *)m->scratch;
            }
            with->extend(from, m->k, 0, terms, x + i * terms);
        }
        multiply_rows(m, with, x, terms, count, y + (size_t)m->n * row);
    }
}
