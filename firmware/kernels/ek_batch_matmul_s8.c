/* a [.., M, K] (adj_x: [.., K, M]), b [.., K, N] (adj_y: [.., N, K]), y [.., M, N]; batch
 * dimensions broadcast. Params: adj_x, adj_y, multiplier, shift, y_min, y_max, rounding. Scratch:
 * one column of b, its zero point taken off: int16 [K]. Source:
 * tensorflow/lite/kernels/internal/reference/batch_matmul.h, BatchMatMul. Twin:
 * edgekit/ops/dense.py, BATCH_MATMUL. */
#include "ek_batch_column.h"

enum { ADJ_X, ADJ_Y, MULTIPLIER, SHIFT, Y_MIN, Y_MAX, ROUNDING, PARAMS };

ek_status ek_batch_matmul_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *a = &call->tensors[0];
    const ek_tensor *b = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || b->type != EK_S8 || a->rank < 2 || a->rank != b->rank ||
        a->rank != y->rank) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, ADJ_X, 2, 0, 1) || !ek_scale_ok(call, MULTIPLIER) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t last = a->rank - 1;
    const uint32_t rows = a->dims[ek_param(call, ADJ_X) ? last : last - 1];
    const uint32_t terms = a->dims[ek_param(call, ADJ_X) ? last - 1 : last];
    const uint32_t columns = b->dims[ek_param(call, ADJ_Y) ? last - 1 : last];
    if (b->dims[ek_param(call, ADJ_Y) ? last : last - 1] != terms || y->dims[last - 1] != rows ||
        y->dims[last] != columns || terms > EK_MAX_TERMS / 2) {
        return EK_ERR_SHAPE;
    }
    for (uint32_t i = 0; i + 2 < a->rank; i++) {
        if ((a->dims[i] != y->dims[i] && a->dims[i] != 1) ||
            (b->dims[i] != y->dims[i] && b->dims[i] != 1)) {
            return EK_ERR_SHAPE;
        }
    }
    need->scratch_bytes = 2u * terms;
    return EK_OK;
}

static void multiply(const ek_call *call, const int8_t *a, const int8_t *b, int8_t *y) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const uint32_t last = ta->rank - 1;
    const uint32_t rows = ty->dims[last - 1];
    const uint32_t columns = ty->dims[last];
    const int adj_x = (int)ek_param(call, ADJ_X);
    const int adj_y = (int)ek_param(call, ADJ_Y);
    const uint32_t terms = ta->dims[adj_x ? last - 1 : last];
    const size_t b_step = adj_y ? 1 : columns;
    const size_t b_column = adj_y ? terms : 1;
    int16_t *column = (int16_t *)(void *)call->scratch;
    ek_batch_column t = {
        .a = a,
        .a_row = adj_x ? 1 : terms,
        .a_step = adj_x ? rows : 1,
        .column = column,
        .terms = terms,
        .rows = rows,
        .multiplier = ek_param(call, MULTIPLIER),
        .shift = ek_param(call, SHIFT),
        .rounding = ek_param(call, ROUNDING),
        .out = {ty->zero_point, ek_param(call, Y_MIN), ek_param(call, Y_MAX)},
    };
    for (uint32_t n = 0; n < columns; n++) {
        const int8_t *from = b + n * b_column;
        int32_t offset = 0;
        for (uint32_t k = 0; k < terms; k++) {
            int32_t value = *from - tb->zero_point;
            column[k] = (int16_t)value;
            offset += value;
            from += b_step;
        }
        t.offset = offset * -ta->zero_point;
        ek_batch_column_s8(&t, y + n, columns);
    }
}

/* Finds the matrices that batch number `batch` multiplies. */
static void operands(const ek_call *call, uint32_t batch, const int8_t **a, const int8_t **b) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const uint32_t outer = ta->rank - 2;
    size_t a_index = 0;
    size_t b_index = 0;
    size_t a_stride = 1;
    size_t b_stride = 1;
    for (uint32_t i = outer; i != 0; i--) {
        uint32_t position = batch % ty->dims[i - 1];
        batch /= ty->dims[i - 1];
        a_index += ta->dims[i - 1] == 1 ? 0 : position * a_stride;
        b_index += tb->dims[i - 1] == 1 ? 0 : position * b_stride;
        a_stride *= ta->dims[i - 1];
        b_stride *= tb->dims[i - 1];
    }
    *a = (const int8_t *)ta->data + a_index * ta->dims[outer] * ta->dims[outer + 1];
    *b = (const int8_t *)tb->data + b_index * tb->dims[outer] * tb->dims[outer + 1];
}

void ek_batch_matmul_s8(const ek_call *call) {
    const ek_tensor *y = &call->tensors[2];
    const size_t y_size = (size_t)y->dims[y->rank - 2] * y->dims[y->rank - 1];
    const uint32_t batches = (uint32_t)(y->count / y_size);
    for (uint32_t batch = 0; batch < batches; batch++) {
        const int8_t *a = NULL;
        const int8_t *b = NULL;
        operands(call, batch, &a, &b);
        multiply(call, a, b, (int8_t *)y->write + batch * y_size);
    }
}
