/* y = rows of x along one dimension, picked by int32 indices that are computed or given while
 * running: an embedding table and tokens. y: dimensions of x before the axis, those of the indices,
 * those of x behind the axis. With wrap 1 an index below 0 counts from the end. An index outside
 * picks the nearest row. Params: axis, wrap. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/gather.h; LiteRT refuses indices outside.
 * Twin: edgekit/ops/gather.py, GATHER. */
#include "ek_kernel.h"

enum { AXIS, WRAP, PARAMS };

ek_status ek_gather_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *indices = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || x->rank == 0 || indices->type != EK_S32) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, AXIS, 1, 0, (int32_t)x->rank - 1) ||
        !ek_params_in(call, WRAP, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t rows = x->dims[ek_param(call, AXIS)];
    if (rows > INT32_MAX || (uint64_t)(x->count / rows) * indices->count != y->count) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

/* The row that an index means; below 0 `end` is added first. */
static size_t row_of(int32_t index, int32_t rows, int32_t end) {
    index = index < 0 ? index + end : index;
    index = index < 0 ? 0 : index;
    return (size_t)(index < rows ? index : rows - 1);
}

void ek_gather_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *indices = &call->tensors[1];
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    const uint32_t rows = x->dims[axis];
    size_t outer = 1;
    for (uint32_t d = 0; d < axis; d++) {
        outer *= x->dims[d];
    }
    const size_t run = x->count / rows / outer;
    const int32_t end = ek_param(call, WRAP) != 0 ? (int32_t)rows : 0;
    const uint8_t *table = x->data;
    uint8_t *out = call->tensors[2].write;
    for (; outer != 0; outer--) {
        const uint8_t *index = indices->data;
        for (uint32_t i = indices->count; i != 0; i--) {
            memcpy(out, table + run * row_of(ek_get_i32(index), (int32_t)rows, end), run);
            out += run;
            index += 4;
        }
        table += run * rows;
    }
}
