/* y[i0, i1, ..] = x[map0[i0], map1[i1], ..]; x and y have the same rank, dimensions without a map
 * stay. Inputs: x; int32 maps, constant, of the mapped dimensions one after the other, each as long
 * as the dimension of y. Params: bit mask of the mapped dimensions, not 0. Scratch: none.
 * Twin: edgekit/ops/remap.py, REMAP. */
#include "ek_kernel.h"

enum { AXES, PARAMS };

static int is_mapped(const ek_call *call, uint32_t dim) {
    return (((uint32_t)ek_param(call, AXES) >> dim) & 1u) != 0;
}

ek_status ek_remap_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *maps = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || x->rank != y->rank || x->rank == 0 ||
        maps->type != EK_S32 || maps->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, AXES, 1, 1, (int32_t)(1u << x->rank) - 1)) {
        return EK_ERR_RANGE;
    }
    uint64_t first = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
        if (!is_mapped(call, d)) {
            if (x->dims[d] != y->dims[d]) {
                return EK_ERR_SHAPE;
            }
            continue;
        }
        if (first + y->dims[d] > maps->count) {
            return EK_ERR_SHAPE;
        }
        for (uint64_t i = first; i < first + y->dims[d]; i++) {
            if (ek_get_u32(maps->data + 4 * (size_t)i) >= x->dims[d]) {
                return EK_ERR_RANGE;
            }
        }
        first += y->dims[d];
    }
    return first == maps->count ? EK_OK : EK_ERR_SHAPE;
}

void ek_remap_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const uint8_t *maps[EK_MAX_RANK] = {NULL};
    size_t steps[EK_MAX_RANK];
    uint32_t counters[EK_MAX_RANK] = {0};
    const uint8_t *next = call->tensors[1].data;
    uint32_t last = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
        if (is_mapped(call, d)) {
            maps[d] = next;
            next += 4 * (size_t)y->dims[d];
            last = d;
        }
    }
    size_t step = 1;
    for (uint32_t d = x->rank; d != 0; d--) {
        steps[d - 1] = step;
        step *= x->dims[d - 1];
    }
    /* What lies behind the last mapped dimension is copied in one piece. */
    const size_t run = steps[last];
    const uint32_t row = y->dims[last];
    uint8_t *out = y->write;
    for (size_t rows = y->count / run / row; rows != 0; rows--) {
        const uint8_t *from = x->data;
        const uint8_t *map = maps[last];
        for (uint32_t d = 0; d < last; d++) {
            const uint32_t at = counters[d];
            from += steps[d] * (maps[d] == NULL ? at : ek_get_u32(maps[d] + 4 * (size_t)at));
        }
        for (uint32_t i = row; i != 0; i--) {
            const uint8_t *piece = from + run * ek_get_u32(map);
            if (run == 1) {
                *out = *piece;
            } else {
                memcpy(out, piece, run);
            }
            out += run;
            map += 4;
        }
        for (uint32_t d = last; d != 0; d--) {
            counters[d - 1]++;
            if (counters[d - 1] < y->dims[d - 1]) {
                break;
            }
            counters[d - 1] = 0;
        }
    }
}
