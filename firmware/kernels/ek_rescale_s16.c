/* y = x on another scale: int8, int16 and int32 into one another, and functions of two straight
 * lines through 0. x and y of the same number of elements. Params: zero points of x and y;
 * multiplier and shift above 0, multiplier and shift below, where a multiplier below 0 turns the
 * sign first; y_min, y_max. Scratch: none. Source:
 * tensorflow/lite/kernels/internal/reference/requantize.h, Requantize. Twin:
 * edgekit/ops/wide.py, RESCALE_S16. */
#include "ek_wide.h"

enum { X_ZERO, Y_ZERO, UP_MULTIPLIER, UP_SHIFT, DOWN_MULTIPLIER, DOWN_SHIFT, Y_MIN, Y_MAX, PARAMS };

static int line_ok(const ek_call *call, uint32_t first) {
    return ek_params_in(call, first, 1, -INT32_MAX, INT32_MAX) &&
           ek_params_in(call, first + 1u, 1, -31, 30);
}

ek_status ek_rescale_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *y = &call->tensors[1];
    if (call->inputs != 1 || call->outputs != 1 || call->param_count != PARAMS ||
        call->tensors[0].count != y->count) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, X_ZERO, 2, -128, 127) || !line_ok(call, UP_MULTIPLIER) ||
        !line_ok(call, DOWN_MULTIPLIER) || ek_param(call, Y_MIN) > ek_param(call, Y_MAX)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

static int32_t load(const ek_tensor *x, size_t i) {
    if (x->type == EK_S8) {
        return ((const int8_t *)x->data)[i];
    }
    return x->type == EK_S16 ? ek_s16(x)[i] : ek_get_i32(x->data + 4 * i);
}

static void store(const ek_tensor *y, size_t i, int32_t value) {
    if (y->type == EK_S8) {
        ((int8_t *)y->write)[i] = (int8_t)value;
    } else if (y->type == EK_S16) {
        ek_s16_write(y)[i] = (int16_t)value;
    } else {
        ek_put_u32(y->write + 4 * i, (uint32_t)value);
    }
}

void ek_rescale_s16(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const int32_t low = ek_param(call, Y_MIN);
    const int32_t high = ek_param(call, Y_MAX);
    for (size_t i = 0; i < x->count; i++) {
        int32_t centred = ek_add_wrap(load(x, i), -ek_param(call, X_ZERO));
        const uint32_t line = centred < 0 ? DOWN_MULTIPLIER : UP_MULTIPLIER;
        int32_t multiplier = ek_param(call, line);
        if (multiplier < 0) {
            multiplier = -multiplier;
            centred = (int32_t)(0u - (uint32_t)centred);
        }
        int32_t value = ek_multiply_double(centred, multiplier, ek_param(call, line + 1u));
        value = ek_add_wrap(value, ek_param(call, Y_ZERO));
        value = value < low ? low : value;
        store(y, i, value > high ? high : value);
    }
}
