/* y = a + sign * b with broadcasting; each on its own scale. Also subtraction.
 * Params: a multiplier, a shift, b multiplier, b shift, y multiplier, y shift, sign (1 or -1),
 * y_min, y_max. Scratch: none. Source: tensorflow/lite/kernels/internal/reference/add.h,
 * AddElementwise, left shift 20. Twin: edgekit/ops/elementwise.py, ADD and SUB. */
#include "ek_add_row.h"
#include "ek_broadcast.h"
#include "ek_kernel.h"

enum {
    A_MULTIPLIER,
    A_SHIFT,
    B_MULTIPLIER,
    B_SHIFT,
    Y_MULTIPLIER,
    Y_SHIFT,
    SIGN,
    Y_MIN,
    Y_MAX,
    PARAMS
};

ek_status ek_add_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_is(call, 2, 1, PARAMS) ||
        !ek_broadcast_ok(&call->tensors[0], &call->tensors[1], &call->tensors[2])) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, A_MULTIPLIER) || !ek_scale_ok(call, B_MULTIPLIER) ||
        !ek_scale_ok(call, Y_MULTIPLIER) || !ek_params_in(call, SIGN, 1, -1, 1) ||
        !ek_clamp_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_add_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    ek_broadcast plan;
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t a_offset = 0;
    size_t b_offset = 0;
    ek_broadcast_plan(&plan, ta, tb, ty);
    const uint32_t count = plan.dims[plan.rank - 1];
    const ek_add_row row = {
        .a = {ta->zero_point, ek_param(call, A_MULTIPLIER), ek_param(call, A_SHIFT)},
        .b = {tb->zero_point, ek_param(call, B_MULTIPLIER), ek_param(call, B_SHIFT)},
        .y = {ty->zero_point, ek_param(call, Y_MULTIPLIER), ek_param(call, Y_SHIFT)},
        .a_one = 1 << 20,
        .b_one = ek_param(call, SIGN) * (1 << 20),
        .a_step = plan.a_steps[plan.rank - 1],
        .b_step = plan.b_steps[plan.rank - 1],
        .low = ek_param(call, Y_MIN),
        .high = ek_param(call, Y_MAX),
    };
    int8_t *y = (int8_t *)ty->write;
    for (uint32_t rows = ty->count / count; rows != 0; rows--) {
        ek_add_row_s8(&row, (const int8_t *)ta->data + a_offset,
                      (const int8_t *)tb->data + b_offset, y, count);
        y += count;
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
