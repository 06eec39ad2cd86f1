/* y[i0, i1, ..] = x[begin + i * stride, ..]; x and y have the same rank. An output that lies in x
 * already, where it is one run of it, is not moved.
 * Params: begin, 6 values, then stride, 6 values, not 0, of which the first rank count. Scratch:
 * none. Twin: edgekit/ops/layout.py, STRIDED_SLICE. */
#include "ek_kernel.h"

enum { BEGIN, STRIDE = EK_MAX_RANK, PARAMS = 2 * EK_MAX_RANK };

/* Where y begins in x if it is one run of it, else EK_APART. */
static uint32_t run_begin(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    uint32_t begin = 0;
    uint32_t step = 1;
    int whole = 1; /* the dimensions so far */
    for (uint32_t i = x->rank; i != 0; i--) {
        const uint32_t count = y->dims[i - 1];
        if (count != 1 && (!whole || ek_param(call, STRIDE + i - 1) != 1)) {
            return EK_APART;
        }
        whole = whole && count == x->dims[i - 1];
        begin += (uint32_t)ek_param(call, BEGIN + i - 1) * step;
        step *= x->dims[i - 1];
    }
    return begin;
}

ek_status ek_strided_slice_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    if (!ek_call_is(call, 1, 1, PARAMS) || x->rank != y->rank || x->rank == 0) {
        return EK_ERR_SHAPE;
    }
    need->lead = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        const int32_t reach = x->dims[i] > INT32_MAX ? INT32_MAX : (int32_t)x->dims[i];
        if (!ek_params_in(call, STRIDE + i, 1, -reach, reach)) {
            return EK_ERR_RANGE;
        }
        int64_t first = ek_param(call, BEGIN + i);
        int64_t last = first + (int64_t)(y->dims[i] - 1) * ek_param(call, STRIDE + i);
        if (first < 0 || last < 0 || first >= x->dims[i] || last >= x->dims[i]) {
            return EK_ERR_RANGE;
        }
        if (ek_param(call, STRIDE + i) < 0) {
            need->lead = EK_APART;
        }
    }
    need->begin = run_begin(call);
    return EK_OK;
}

void ek_strided_slice_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const uint32_t begin = run_begin(call);
    if (begin != EK_APART && y->write == x->data + begin) {
        return;
    }
    ptrdiff_t steps[EK_MAX_RANK];
    uint32_t counters[EK_MAX_RANK] = {0};
    ptrdiff_t size = 1;
    ptrdiff_t offset = 0;
    for (uint32_t i = x->rank; i != 0; i--) {
        steps[i - 1] = size * ek_param(call, STRIDE + i - 1);
        offset += size * ek_param(call, BEGIN + i - 1);
        size *= (ptrdiff_t)x->dims[i - 1];
    }
    const uint32_t row = y->dims[x->rank - 1];
    const ptrdiff_t row_step = steps[x->rank - 1];
    const int8_t *data = (const int8_t *)x->data;
    int8_t *out = (int8_t *)y->write;
    for (uint32_t rows = y->count / row; rows != 0; rows--) {
        ptrdiff_t at = offset;
        for (uint32_t i = row; i != 0; i--) {
            *out++ = data[at];
            at += row_step;
        }
        for (uint32_t i = x->rank - 1; i != 0; i--) {
            offset += steps[i - 1];
            counters[i - 1]++;
            if (counters[i - 1] < y->dims[i - 1]) {
                break;
            }
            offset -= steps[i - 1] * (ptrdiff_t)y->dims[i - 1];
            counters[i - 1] = 0;
        }
    }
}
