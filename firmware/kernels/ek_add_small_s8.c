/* add for small cores, of two tensors with as many elements as y: what each of the 256 values of an
 * input adds to the sum is computed once and looked up. Params: those of add. Scratch: both tables
 * and some sums as int32. Twin: edgekit/ops/small_add.py, ADD_SMALL. */
#include "ek_fixed.h"
#include "ek_small.h"

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

enum { VALUES = 256, TOGETHER = 64, SCRATCH = 4 * (2 * VALUES + TOGETHER) };

ek_status ek_add_small_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || call->tensors[1].type != EK_S8 ||
        call->tensors[0].count != y->count || call->tensors[1].count != y->count) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, A_MULTIPLIER) || !ek_scale_ok(call, B_MULTIPLIER) ||
        !ek_scale_ok(call, Y_MULTIPLIER) || !ek_params_in(call, SIGN, 1, -1, 1) ||
        !ek_clamp_ok(call, Y_MIN) ||
        (ek_param(call, Y_MULTIPLIER) != 0 && ek_param(call, Y_SHIFT) >= 0)) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = SCRATCH;
    need->lead = 0;
    return EK_OK;
}

/* table[x]: x is the stored byte, without its sign. */
static void fill(const ek_call *call, uint32_t param, const ek_tensor *t, int32_t one,
                 uint32_t *table) {
    const int32_t multiplier = ek_param(call, param);
    const int32_t shift = ek_param(call, param + 1);
    for (int32_t value = -128; value < 128; value++) {
        table[(uint8_t)value] =
            (uint32_t)ek_multiply_double((value - t->zero_point) * one, multiplier, shift);
    }
}

void ek_add_small_s8(const ek_call *call) {
    const ek_tensor *y = &call->tensors[2];
    uint32_t *a_table = (uint32_t *)(void *)call->scratch;
    uint32_t *b_table = a_table + VALUES;
    uint32_t *sums = b_table + VALUES;
    uint32_t row[EK_SMALL_ROW / 4];
    ek_put_u32((uint8_t *)row, 0);
    ek_put_u32((uint8_t *)row + 4, (uint32_t)ek_param(call, Y_MULTIPLIER));
    ek_put_u32((uint8_t *)row + 8, (uint32_t)ek_param(call, Y_SHIFT));
    const ek_small_output out = {.rows = (const uint8_t *)row,
                                 .y_step = 1,
                                 .zero_point = y->zero_point,
                                 .low = ek_param(call, Y_MIN),
                                 .high = ek_param(call, Y_MAX)};
    fill(call, A_MULTIPLIER, &call->tensors[0], 1 << 20, a_table);
    fill(call, B_MULTIPLIER, &call->tensors[1], ek_param(call, SIGN) * (1 << 20), b_table);
    const uint8_t *a = call->tensors[0].data;
    const uint8_t *b = call->tensors[1].data;
    int8_t *to = (int8_t *)y->write;
    for (uint32_t left = y->count; left != 0;) {
        const uint32_t count = left < TOGETHER ? left : (uint32_t)TOGETHER;
        for (uint32_t i = 0; i < count; i++) {
            sums[i] = a_table[*a++] + b_table[*b++];
        }
        ek_finish_small(&out, sums, to, count);
        to += count;
        left -= count;
    }
}
