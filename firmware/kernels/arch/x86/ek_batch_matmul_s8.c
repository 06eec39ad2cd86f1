/* BATCH_MATMUL with the vector instructions of x86-64. What does not fit runs as the portable
 * kernel does. */
#define ek_batch_matmul_s8 ek_batch_matmul_portable_s8
#include "../../ek_batch_matmul_s8.c"
#undef ek_batch_matmul_s8

#include "ek_dot_s16.h"

typedef struct product {
    ek_dot_matrix a;
    ek_dot_matrix b;
    size_t rows;
    size_t terms;
    size_t columns;
    ek_dot_output out[EK_DOT_COLUMNS / 8];
} product;

/* False if the shift does not fit. */
static int product_of(const ek_call *call, product *p) {
    const ek_tensor *a = &call->tensors[0];
    const ek_tensor *b = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    const uint32_t last = a->rank - 1;
    const int adj_x = (int)ek_param(call, ADJ_X);
    const int adj_y = (int)ek_param(call, ADJ_Y);
    p->rows = y->dims[last - 1];
    p->columns = y->dims[last];
    p->terms = a->dims[adj_x ? last - 1 : last];
    p->a.line = adj_x ? 1 : p->terms;
    p->a.step = adj_x ? p->rows : 1;
    p->a.zero = a->zero_point;
    p->b.line = adj_y ? p->terms : 1;
    p->b.step = adj_y ? 1 : p->columns;
    p->b.zero = b->zero_point;
    if (!ek_dot_output_fill(&p->out[0], ek_param(call, MULTIPLIER), ek_param(call, SHIFT),
                            ek_param(call, ROUNDING))) {
        return 0;
    }
    p->out[0].zero_point = y->zero_point;
    p->out[0].low = ek_param(call, Y_MIN);
    p->out[0].high = ek_param(call, Y_MAX);
    p->out[1] = p->out[0];
    return 1;
}

static void one_product(const product *p, const int8_t *a, const int8_t *b, int8_t *y) {
    _Alignas(32) int16_t panel[EK_DOT_COLUMNS * EK_DOT_TERMS];
    int16_t x[EK_DOT_VALUES + 1];
    uint32_t places[EK_DOT_ROWS];
    const size_t most = ek_dot_rows(p->terms);
    for (size_t row = 0; row < p->rows; row += most) {
        const size_t count = p->rows - row < most ? p->rows - row : most;
        ek_dot_matrix rows = p->a;
        rows.data = a + p->a.line * row;
        ek_dot_extend(&rows, p->terms, count, x);
        ek_dot_places(p->terms, count, places);
        for (size_t n = 0; n < p->columns; n += EK_DOT_COLUMNS) {
            const size_t first = ek_dot_first(p->columns, n);
            const size_t left = p->columns - first;
            const size_t columns = left < EK_DOT_COLUMNS ? left : EK_DOT_COLUMNS;
            ek_dot_matrix from = p->b;
            from.data = b + p->b.line * first;
            ek_dot_pack(&from, p->terms, columns, panel);
            const ek_dot_panels one = ek_dot_panel(panel, p->out, p->terms, columns, p->columns);
            ek_dot_multiply(&one, x, places, count, y + row * p->columns + first);
        }
    }
}

void ek_batch_matmul_s8(const ek_call *call) {
    const ek_tensor *y = &call->tensors[2];
    product p;
    if (!ek_dot_ready() || !product_of(call, &p) || p.terms > EK_DOT_TERMS) {
        ek_batch_matmul_portable_s8(call);
        return;
    }
    const size_t size = p.rows * p.columns;
    for (uint32_t batch = 0; batch < y->count / size; batch++) {
        const int8_t *a = NULL;
        const int8_t *b = NULL;
        operands(call, batch, &a, &b);
        one_product(&p, a, b, (int8_t *)y->write + batch * size);
    }
}
