/* y = a ? b with broadcasting, all three int32: what models compute with indices. Sums and products
 * wrap; a division by 0 gives 0. Params: mode (0 add, 1 subtract, 2 multiply, 3 smaller, 4 larger,
 * 5 quotient rounded down, 6 remainder with the sign of b). Scratch: none.
 * Source: tensorflow/lite/kernels/add.cc, floor_div.cc, floor_mod.cc; LiteRT refuses to divide by
 * 0. Twin: edgekit/ops/logic.py, INDEX_BINARY. */
#include "ek_broadcast.h"
#include "ek_kernel.h"

enum { MODE, PARAMS };
enum { ADD, SUBTRACT, MULTIPLY, SMALLER, LARGER, QUOTIENT, REMAINDER, MODES };

ek_status ek_index_binary_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (call->inputs != 2 || call->outputs != 1 || call->param_count != PARAMS ||
        call->tensors[2].type != EK_S32 ||
        !ek_broadcast_fits(&call->tensors[0], &call->tensors[2], EK_S32) ||
        !ek_broadcast_fits(&call->tensors[1], &call->tensors[2], EK_S32)) {
        return EK_ERR_SHAPE;
    }
    return ek_params_in(call, MODE, 1, 0, MODES - 1) ? EK_OK : EK_ERR_RANGE;
}

static int32_t quotient(int32_t a, int32_t b) {
    if (b == 0) {
        return 0;
    }
    if (b == -1) {
        return (int32_t)(0u - (uint32_t)a);
    }
    return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

static int32_t value_of(int32_t mode, int32_t a, int32_t b) {
    switch (mode) {
    case ADD:
        return (int32_t)((uint32_t)a + (uint32_t)b);
    case SUBTRACT:
        return (int32_t)((uint32_t)a - (uint32_t)b);
    case MULTIPLY:
        return (int32_t)((uint32_t)a * (uint32_t)b);
    case SMALLER:
        return a < b ? a : b;
    case LARGER:
        return a > b ? a : b;
    case QUOTIENT:
        return quotient(a, b);
    default:
        return b == 0 ? 0 : (int32_t)((uint32_t)a - (uint32_t)quotient(a, b) * (uint32_t)b);
    }
}

void ek_index_binary_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t mode = ek_param(call, MODE);
    ek_broadcast plan;
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t a_offset = 0;
    size_t b_offset = 0;
    ek_broadcast_plan(&plan, ta, tb, ty);
    const uint32_t row = plan.dims[plan.rank - 1];
    const size_t a_step = 4 * (size_t)plan.a_steps[plan.rank - 1];
    const size_t b_step = 4 * (size_t)plan.b_steps[plan.rank - 1];
    uint8_t *y = ty->write;
    for (uint32_t rows = ty->count / row; rows != 0; rows--) {
        const uint8_t *a = ta->data + 4 * a_offset;
        const uint8_t *b = tb->data + 4 * b_offset;
        for (uint32_t i = row; i != 0; i--) {
            ek_put_u32(y, (uint32_t)value_of(mode, ek_get_i32(a), ek_get_i32(b)));
            y += 4;
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
