/* Walking two tensors that broadcast to a third, in elements: dimensions that run together are
 * joined first. */
#ifndef EK_BROADCAST_H
#define EK_BROADCAST_H

#include "ek_kernel.h"

typedef struct ek_broadcast {
    uint32_t dims[EK_MAX_RANK]; /* of y, outermost first */
    uint32_t a_steps[EK_MAX_RANK];
    uint32_t b_steps[EK_MAX_RANK];
    uint32_t rank; /* at least 1 */
} ek_broadcast;

/* True if t has this type and broadcasts to y: equal dimensions or 1, aligned at the last. */
static inline int ek_broadcast_fits(const ek_tensor *t, const ek_tensor *y, uint32_t type) {
    if (t->type != type || t->rank > y->rank) {
        return 0;
    }
    for (uint32_t i = 0; i < t->rank; i++) {
        uint32_t dim = t->dims[t->rank - 1 - i];
        if (dim != 1 && dim != y->dims[y->rank - 1 - i]) {
            return 0;
        }
    }
    return 1;
}

/* True if a and b are int8 and broadcast to y. */
static inline int ek_broadcast_ok(const ek_tensor *a, const ek_tensor *b, const ek_tensor *y) {
    return ek_broadcast_fits(a, y, EK_S8) && ek_broadcast_fits(b, y, EK_S8);
}

static inline void ek_broadcast_plan(ek_broadcast *plan, const ek_tensor *a, const ek_tensor *b,
                                     const ek_tensor *y) {
    uint32_t dims[EK_MAX_RANK]; /* innermost first */
    uint32_t steps_a[EK_MAX_RANK];
    uint32_t steps_b[EK_MAX_RANK];
    uint32_t rank = 0;
    uint32_t size_a = 1;
    uint32_t size_b = 1;
    for (uint32_t i = 0; i < y->rank; i++) {
        uint32_t dim = y->dims[y->rank - 1 - i];
        uint32_t dim_a = i < a->rank ? a->dims[a->rank - 1 - i] : 1;
        uint32_t dim_b = i < b->rank ? b->dims[b->rank - 1 - i] : 1;
        if (dim == 1) {
            continue;
        }
        uint32_t step_a = dim_a == 1 ? 0 : size_a;
        uint32_t step_b = dim_b == 1 ? 0 : size_b;
        size_a *= dim_a;
        size_b *= dim_b;
        if (rank != 0 && step_a == steps_a[rank - 1] * dims[rank - 1] &&
            step_b == steps_b[rank - 1] * dims[rank - 1]) {
            dims[rank - 1] *= dim;
            continue;
        }
        dims[rank] = dim;
        steps_a[rank] = step_a;
        steps_b[rank] = step_b;
        rank++;
    }
    if (rank == 0) {
        dims[0] = 1;
        steps_a[0] = 0;
        steps_b[0] = 0;
        rank = 1;
    }
    plan->rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        plan->dims[i] = dims[rank - 1 - i];
        plan->a_steps[i] = steps_a[rank - 1 - i];
        plan->b_steps[i] = steps_b[rank - 1 - i];
    }
}

/* Moves the counters to the next row (all dimensions but the last); offsets follow. */
static inline void ek_broadcast_next(const ek_broadcast *plan, uint32_t *counters, size_t *a_offset,
                                     size_t *b_offset) {
    for (uint32_t i = plan->rank - 1; i != 0; i--) {
        *a_offset += plan->a_steps[i - 1];
        *b_offset += plan->b_steps[i - 1];
        counters[i - 1]++;
        if (counters[i - 1] < plan->dims[i - 1]) {
            return;
        }
        *a_offset -= (size_t)plan->a_steps[i - 1] * plan->dims[i - 1];
        *b_offset -= (size_t)plan->b_steps[i - 1] * plan->dims[i - 1];
        counters[i - 1] = 0;
    }
}

#endif
