/* y = 1 where a equals b (mode 0) or is less (mode 1), else 0, with broadcasting; with negate 1 the
 * other way round. a and b both int32, or both int8; y int8. Int8 with scaled 1 compares the reals
 * that the bytes stand for: (byte - zero point) * 2^8, scaled.
 * Params: mode, negate, scaled, a_multiplier, a_shift, b_multiplier, b_shift. Scratch: none.
 * Source: tensorflow/lite/kernels/comparisons.cc, ComparisonQuantized.
 * Twin: edgekit/ops/logic.py, COMPARE. */
#include "ek_broadcast.h"
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { MODE, NEGATE, SCALED, A_MULTIPLIER, A_SHIFT, B_MULTIPLIER, B_SHIFT, PARAMS };

ek_status ek_compare_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *y = &call->tensors[2];
    if (call->inputs != 2 || call->outputs != 1 || call->param_count != PARAMS ||
        y->type != EK_S8 || !ek_broadcast_fits(&call->tensors[0], y, call->tensors[0].type) ||
        !ek_broadcast_fits(&call->tensors[1], y, call->tensors[0].type)) {
        return EK_ERR_SHAPE;
    }
    const int32_t most = call->tensors[0].type == EK_S8;
    if (!ek_params_in(call, MODE, 2, 0, 1) || !ek_params_in(call, SCALED, 1, 0, most) ||
        !ek_scale_ok(call, A_MULTIPLIER) || !ek_scale_ok(call, B_MULTIPLIER)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

/* Reads one operand; first: its multiplier among the params. */
static int32_t value_of(const ek_call *call, const ek_tensor *t, size_t at, uint32_t first) {
    if (t->type == EK_S32) {
        return ek_get_i32(t->data + 4 * at);
    }
    const int32_t byte = ((const int8_t *)t->data)[at];
    if (ek_param(call, SCALED) == 0) {
        return byte;
    }
    return ek_multiply_double((byte - t->zero_point) * 256, ek_param(call, first),
                              ek_param(call, first + 1));
}

void ek_compare_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t mode = ek_param(call, MODE);
    const int32_t negate = ek_param(call, NEGATE);
    ek_broadcast plan;
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t a_offset = 0;
    size_t b_offset = 0;
    ek_broadcast_plan(&plan, ta, tb, ty);
    const uint32_t row = plan.dims[plan.rank - 1];
    const uint32_t a_step = plan.a_steps[plan.rank - 1];
    const uint32_t b_step = plan.b_steps[plan.rank - 1];
    int8_t *y = (int8_t *)ty->write;
    for (uint32_t rows = ty->count / row; rows != 0; rows--) {
        size_t a_at = a_offset;
        size_t b_at = b_offset;
        for (uint32_t i = row; i != 0; i--) {
            const int32_t a = value_of(call, ta, a_at, A_MULTIPLIER);
            const int32_t b = value_of(call, tb, b_at, B_MULTIPLIER);
            *y++ = (int8_t)((mode == 0 ? a == b : a < b) ^ negate);
            a_at += a_step;
            b_at += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
