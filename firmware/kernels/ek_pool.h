/* What pools over windows share: x [N, H, W, C], y [N, OH, OW, C]. */
#ifndef EK_POOL_H
#define EK_POOL_H

#include "ek_kernel.h"

/* Params of pools. */
enum { STRIDE_H, STRIDE_W, FILTER_H, FILTER_W, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, PARAMS };

/* True if x and y are of this type and fit each other. */
static inline int ek_pool_shapes_ok(const ek_call *call, uint32_t type) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    return ek_call_has(call, 1, 1, PARAMS, type) && x->rank == 4 && y->rank == 4 &&
           x->dims[0] == y->dims[0] && x->dims[3] == y->dims[3] && x->count <= EK_MAX_INDEX &&
           y->count <= EK_MAX_INDEX;
}

/* True if all params but the clamp are in range and no window has more than `most` elements. */
static inline int ek_pool_windows_ok(const ek_call *call, int32_t most) {
    return ek_params_in(call, STRIDE_H, 4, 1, 4096) && ek_params_in(call, PAD_TOP, 2, 0, 65536) &&
           ek_window_ok(call, &call->tensors[1], 1, 1, STRIDE_H, PAD_TOP) &&
           ek_param(call, FILTER_H) * ek_param(call, FILTER_W) <= most;
}

/* Cuts [start, start + length) to [0, limit); returns what is left. */
static inline uint32_t ek_pool_cut(int32_t *start, int32_t length, int32_t limit) {
    int32_t end = *start + length;
    end = end > limit ? limit : end;
    *start = *start < 0 ? 0 : *start;
    return end > *start ? (uint32_t)(end - *start) : 0;
}

#endif
