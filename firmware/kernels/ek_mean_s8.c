/* y = mean of x over some dimensions. The scaling of LiteRT's reference is a rising step function of the sum; its steps
 * are computed when the model is compiled: y = -128 + number of steps that the sum of x reaches.
 * x any rank, steps int32 [255] rising, y: the dimensions of x that stay, in order (ones may be left out).
 * Params: bit mask of the dimensions that are reduced. Scratch: none.
 * Source: tensorflow/lite/kernels/reduce.cc, EvalMeanReferenceOps.
 * Twin: edgekit/ops/reduce.py, MEAN. */
#include "ek_kernel.h"

enum { AXES, PARAMS };

enum { STEPS = 255 };

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

ek_status ek_mean_s8_check(const ek_call *call, uint32_t *scratch_bytes) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *steps = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || steps->type != EK_S32 || steps->constant == 0 ||
        steps->count != STEPS || x->count > (1u << 23) || !ek_params_in(call, AXES, 1, 0, 63)) {
        return EK_ERR_SHAPE;
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
    *scratch_bytes = 0;
    return EK_OK;
}

static int8_t scale(const uint8_t *steps, int32_t sum) {
    uint32_t low = 0;
    uint32_t high = STEPS;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sum >= ek_get_i32(steps + 4 * (size_t)middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (int8_t)((int32_t)low - 128);
}

void ek_mean_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    uint32_t dims[EK_MAX_RANK];
    uint32_t reduced[EK_MAX_RANK];
    uint32_t counters[EK_MAX_RANK] = {0};
    const uint32_t rank = join(call, dims, reduced);
    int8_t *out = (int8_t *)y->write;
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
            const int8_t *p = (const int8_t *)x->data + offset;
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
        *out++ = scale(call->tensors[1].data, sum);
    }
}
