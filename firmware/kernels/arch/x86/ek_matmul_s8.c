/* The product of ek_matmul_s8.h with the vector instructions of x86-64. Where the processor has
 * none, or constants do not fit them, the portable product runs. */
#define ek_matmul_s8 ek_matmul_portable_s8
#include "../../ek_matmul_s8.c"
#undef ek_matmul_s8

#include "ek_matmul_x86.h"

void ek_matmul_outputs(const ek_matmul *m, uint32_t first, uint32_t count, ek_dot_output *out) {
    const int per_channel = m->requant_stride == 12;
    for (uint32_t i = 0; i < count; i += 8) {
        ek_dot_output *eight = &out[i / 8];
        if (per_channel && i + 8 <= count) {
            ek_dot_output_rows(eight, m->requant + 12 * (size_t)(first + i), m->rounding);
        } else {
            for (uint32_t j = 0; j < 8; j++) {
                const uint32_t column = first + (i + j < count ? i + j : count - 1);
                const uint8_t *requant = m->requant + (size_t)m->requant_stride * column;
                (void)ek_dot_output_set(eight, j, ek_get_i32(requant),
                                        per_channel ? ek_get_i32(requant + 4) : m->multiplier,
                                        per_channel ? ek_get_i32(requant + 8) : m->shift,
                                        m->rounding);
            }
        }
        eight->zero_point = m->y_zero_point;
        eight->low = m->y_min;
        eight->high = m->y_max;
    }
}

int ek_matmul_shifts_fit(const ek_matmul *m) {
    if (m->requant_stride != 12) {
        return m->shift < 0;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        if (ek_get_i32(m->requant + 12 * (size_t)i + 8) > -1) {
            return 0;
        }
    }
    return 1;
}

static void multiply_rows(const ek_matmul *m, const int16_t *x, uint32_t rows, int8_t *y) {
    _Alignas(32) int16_t panel[EK_DOT_COLUMNS * EK_DOT_TERMS];
    ek_dot_output out[EK_DOT_COLUMNS / 8];
    uint32_t places[EK_DOT_ROWS];
    ek_dot_places(m->k, rows, places);
    for (uint32_t n = 0; n < m->n; n += EK_DOT_COLUMNS) {
        const uint32_t count = m->n - n < EK_DOT_COLUMNS ? m->n - n : EK_DOT_COLUMNS;
        const ek_dot_matrix w = {m->weights + (size_t)m->k * n, m->k, 1, 0};
        ek_matmul_outputs(m, n, count, out);
        if (rows == 1 && count % 8 == 0) {
            for (uint32_t i = 0; i < count; i += 8) {
                ek_dot_row(x, w.data + (size_t)m->k * i, m->k, &out[i / 8], y + n + i);
            }
        } else {
            ek_dot_pack(&w, m->k, count, panel);
            const ek_dot_panels one = ek_dot_panel(panel, out, m->k, count, m->n);
            ek_dot_multiply(&one, x, places, rows, y + n);
        }
    }
}

void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y) {
    if (!ek_dot_ready() || m->k > EK_DOT_TERMS || !ek_matmul_shifts_fit(m)) {
        ek_matmul_portable_s8(m, rows, y);
        return;
    }
    int16_t x[EK_DOT_VALUES + 1];
    const uint32_t most = (uint32_t)ek_dot_rows(m->k);
    for (uint32_t row = 0; row < rows; row += most) {
        const uint32_t count = rows - row < most ? rows - row : most;
        ek_dot_matrix from = {m->x + (size_t)m->k * row, m->k, 1, 0};
        if (m->gather == NULL) {
            ek_dot_extend(&from, m->k, count, x);
        } else {
            from.data = (const int8_t *)m->scratch;
            for (uint32_t i = 0; i < count; i++) {
                m->gather(m->call, row + i, (int8_t *)m->scratch);
                ek_dot_extend(&from, m->k, 1, x + (size_t)i * m->k);
            }
        }
        multiply_rows(m, x, count, y + (size_t)m->n * row);
    }
}
