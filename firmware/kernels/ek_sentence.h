/* What the layers of a sentence share: the count of tokens, and rows that are added in place. */
#ifndef EK_SENTENCE_H
#define EK_SENTENCE_H

#include "ek_matmul_s8.h"

/* Rows that a branch works on at a time. Twin: edgekit/ops/text.py, ROW_BLOCK */
enum { EK_ROWS = 4, EK_MAX_WIDTH = 4096 };

/* True if a tensor is int32 [1] in the arena: the count. */
static inline int ek_count_ok(const ek_tensor *count) {
    return count->type == EK_S32 && count->count == 1 && count->constant == 0;
}

/* The count of tokens, 1 .. rows whatever the arena holds. */
static inline uint32_t ek_count(const ek_tensor *count, uint32_t rows) {
    const uint32_t tokens = (uint32_t)ek_get_i32(count->data);
    return tokens == 0 ? 1u : tokens > rows ? rows : tokens;
}

/* True if a tensor is states [1, L, d]. */
static inline int ek_states_ok(const ek_tensor *x) {
    return x->type == EK_S8 && x->rank == 3 && x->dims[0] == 1 && x->constant == 0 &&
           x->dims[2] <= EK_MAX_WIDTH;
}

/* True if w is constant int8 [m, k] and requant belongs to it. */
static inline int ek_weights_ok(const ek_tensor *w, const ek_tensor *requant, uint32_t m,
                                uint32_t k) {
    if (w->type != EK_S8 || w->constant == 0 || w->rank != 2 || w->dims[0] != m ||
        w->dims[1] != k || k > EK_MAX_TERMS) {
        return 0;
    }
    if (requant->rank == 2 && requant->dims[1] == 1) {
        return requant->type == EK_S32 && requant->constant != 0 && requant->dims[0] == m;
    }
    return ek_requant_rows_ok(requant, m);
}

/* y = base factor + u other + offset, 16 bits behind the point. y may be base. Params from first:
 * factor of base, factor of u, offset. Twin: edgekit/ops/text.py, joined */
static inline void ek_join_rows(const ek_call *call, uint32_t first, const int8_t *base,
                                const int8_t *u, int8_t *y, size_t count) {
    const int32_t factor = ek_param(call, first);
    const int32_t other = ek_param(call, first + 1u);
    const int32_t offset = ek_param(call, first + 2u);
    for (; count != 0; count--) {
        const int32_t total = *base++ * factor + *u++ * other + offset;
        *y++ = ek_clamp_s8(total >> 16, -128, 127);
    }
}

/* True if the parameters of ek_join_rows cannot overflow. */
static inline int ek_join_ok(const ek_call *call, uint32_t first) {
    return ek_params_in(call, first, 2, 0, (1 << 22) - 1) &&
           ek_params_in(call, first + 2u, 1, -(1 << 30), 1 << 30);
}

#endif
