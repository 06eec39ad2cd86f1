/* y = mean of x, both int16, over some dimensions; the division is part of the multiplier.
 * x any rank, y: the dimensions of x that stay, in order (ones may be left out).
 * Params: bit mask of the dimensions that are reduced, multiplier, shift. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/reduce.h, QuantizedMeanOrSum.
 * Twin: edgekit/ops/wide.py, MEAN_S16. */
#include "ek_wide.h"

enum { AXES, MULTIPLIER, SHIFT, PARAMS };

/* More of int16 would not fit 32 bits. */
enum { MAX_COUNT = 65535 };

/* Joins neighbouring dimensions that are both kept or both reduced; returns how many are left. */
static uint32_t join(const ek_call *call, uint32_t *dims, uint32_t *reduced) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t axes = (uint32_t)ek_param(call, AXES);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        uint32_t bit = (axes >> i) & 1u;
        if (x->dims[i] == 1) {
            continue;
        }
        if (rank != 0 && reduced[rank - 1] == bit) {
            dims[rank - 1] *= x->dims[i];
            continue;
        }
        dims[rank] = x->dims[i];
        reduced[rank] = bit;
        rank++;
    }
    return rank;
}

ek_status ek_mean_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    if (!ek_call_has(call, 1, 1, PARAMS, EK_S16) || x->count > MAX_COUNT) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, AXES, 1, 0, 63) || !ek_scale_ok(call, MULTIPLIER)) {
        return EK_ERR_RANGE;
    }
    uint32_t kept = 1;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (((uint32_t)ek_param(call, AXES) >> i & 1u) == 0) {
            kept *= x->dims[i];
        }
    }
    if (y->count != kept) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

void ek_mean_s16(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    uint32_t dims[EK_MAX_RANK];
    uint32_t reduced[EK_MAX_RANK];
    uint32_t counters[EK_MAX_RANK] = {0};
    const uint32_t rank = join(call, dims, reduced);
    const int32_t multiplier = ek_param(call, MULTIPLIER);
    const int32_t shift = ek_param(call, SHIFT);
    int16_t *out = ek_s16_write(y);
    for (uint32_t n = 0; n < y->count; n++) {
        /* Where this output starts in x. */
        size_t start = 0;
        size_t stride = 1;
        uint32_t rest = n;
        uint32_t terms = 1;
        for (uint32_t i = rank; i != 0; i--) {
            if (reduced[i - 1] == 0) {
                start += rest % dims[i - 1] * stride;
                rest /= dims[i - 1];
            } else {
                terms *= dims[i - 1];
            }
            stride *= dims[i - 1];
        }
        /* Walk the innermost reduced dimension; the others count. */
        size_t step = 1;
        uint32_t inner = rank;
        while (inner != 0 && reduced[inner - 1] == 0) {
            step *= dims[inner - 1];
            inner--;
        }
        const uint32_t run = inner == 0 ? 1 : dims[inner - 1];
        int32_t sum = 0;
        size_t offset = start;
        for (uint32_t rows = terms / run; rows != 0; rows--) {
            const int16_t *p = ek_s16(x) + offset;
            for (uint32_t i = run; i != 0; i--) {
                sum += *p;
                p += step;
            }
            size_t size = step * run;
            for (uint32_t i = inner; i > 1; i--) {
                if (reduced[i - 2] != 0) {
                    offset += size;
                    counters[i - 2]++;
                    if (counters[i - 2] < dims[i - 2]) {
                        break;
                    }
                    offset -= size * dims[i - 2];
                    counters[i - 2] = 0;
                }
                size *= dims[i - 2];
            }
        }
        int32_t value = ek_multiply_double(sum, multiplier, shift);
        *out++ = ek_clamp_s16(value, INT16_MIN, INT16_MAX);
    }
}
