/* A layer of LSTM over all steps, with int8 activations and weights and an int16 cell.
 * x int8 [B, T, C] (time_major: [T, B, C]), input weights int8 [4 U, C], recurrent weights int8
 * [4 U, U], biases int32 [4 U, 2] (of input and recurrent sums, zero points folded in); the gates
 * in the order input, forget, cell, output. h int8 [B, U] and c int16 [B, U] before the first step.
 * Outputs: y int8 [B, T, U] (or [T, B, U]), h and c behind the last step.
 * Params: time_major; per gate multiplier and shift of the input sum, then of the recurrent sum;
 * cell_bits (integer bits of c), cell_clip (0: none), multiplier and shift of the output.
 * Scratch: gates int16 [4 U].
 * Source: tensorflow/lite/kernels/lstm_eval.cc, LstmStepInteger8x8_16, without layer norm,
 * peephole, projection and coupled gates. Twin: edgekit/ops/lstm.py, LSTM. */
#include "ek_fixed_16.h"
#include "ek_wide.h"

enum {
    TIME_MAJOR,
    GATES,
    CELL_BITS = 17,
    CELL_CLIP = 18,
    Y_MULTIPLIER = 19,
    Y_SHIFT = 20,
    PARAMS = 21
};

enum { X, W_INPUT, W_RECURRENT, BIAS, H, C, Y, H_OUT, C_OUT };

/* Integer bits of a gate before its function. */
enum { GATE_BITS = 3 };

static int is_state(const ek_tensor *tensor, uint32_t type, uint32_t batch, uint32_t units) {
    return tensor->type == type && tensor->rank == 2 && tensor->dims[0] == batch &&
           tensor->dims[1] == units;
}

ek_status ek_lstm_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *t = call->tensors;
    if (call->inputs != 6 || call->outputs != 3 || call->param_count != PARAMS) {
        return EK_ERR_SHAPE;
    }
    const uint32_t units = t[W_RECURRENT].dims[1];
    if (t[X].type != EK_S8 || t[X].rank != 3 || t[Y].type != EK_S8 || t[Y].rank != 3 ||
        t[Y].dims[0] != t[X].dims[0] || t[Y].dims[1] != t[X].dims[1] || t[Y].dims[2] != units) {
        return EK_ERR_SHAPE;
    }
    if (t[W_INPUT].type != EK_S8 || t[W_INPUT].constant == 0 || t[W_INPUT].rank != 2 ||
        t[W_RECURRENT].type != EK_S8 || t[W_RECURRENT].constant == 0 || t[W_RECURRENT].rank != 2 ||
        units > EK_MAX_TERMS || t[W_INPUT].dims[1] > EK_MAX_TERMS ||
        t[W_RECURRENT].dims[0] != 4 * units || t[W_INPUT].dims[0] != 4 * units ||
        t[W_INPUT].dims[1] != t[X].dims[2]) {
        return EK_ERR_SHAPE;
    }
    if (t[BIAS].type != EK_S32 || t[BIAS].constant == 0 || t[BIAS].rank != 2 ||
        t[BIAS].dims[0] != 4 * units || t[BIAS].dims[1] != 2) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, TIME_MAJOR, 1, 0, 1) || !ek_params_in(call, CELL_BITS, 1, 0, 6) ||
        !ek_params_in(call, CELL_CLIP, 1, 0, 32767) || !ek_scale_ok(call, Y_MULTIPLIER)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < 8; i++) {
        if (!ek_scale_ok(call, GATES + 2 * i)) {
            return EK_ERR_RANGE;
        }
    }
    const uint32_t batch = t[X].dims[ek_param(call, TIME_MAJOR) != 0 ? 1 : 0];
    if (!is_state(&t[H], EK_S8, batch, units) || !is_state(&t[H_OUT], EK_S8, batch, units) ||
        !is_state(&t[C], EK_S16, batch, units) || !is_state(&t[C_OUT], EK_S16, batch, units)) {
        return EK_ERR_SHAPE;
    }
    need->scratch_bytes = 8u * units;
    return EK_OK;
}

static int32_t dot(const int8_t *x, const int8_t *w, size_t count) {
    int32_t sum = 0;
    for (; count != 0; count--) {
        sum += *x++ * *w++;
    }
    return sum;
}

/* The sums of one gate, scaled and passed through its function. */
static void gate(const ek_call *call, uint32_t number, const int8_t *x, const int8_t *h) {
    const uint32_t params = GATES + 4 * number;
    const uint32_t units = call->tensors[W_RECURRENT].dims[1];
    const size_t features = call->tensors[W_INPUT].dims[1];
    const size_t first = (size_t)number * units;
    const int8_t *w_input = (const int8_t *)call->tensors[W_INPUT].data + first * features;
    const int8_t *w_recurrent = (const int8_t *)call->tensors[W_RECURRENT].data + first * units;
    const uint8_t *bias = call->tensors[BIAS].data + 8 * first;
    int16_t *out = (int16_t *)(void *)call->scratch + first;
    for (uint32_t u = units; u != 0; u--) {
        int32_t sum = ek_add_wrap(dot(x, w_input, features), ek_get_i32(bias));
        int32_t value =
            ek_multiply_double(sum, ek_param(call, params), ek_param(call, params + 1u));
        value = ek_saturate_16(value);
        sum = ek_add_wrap(dot(h, w_recurrent, units), ek_get_i32(bias + 4));
        sum = ek_multiply_double(sum, ek_param(call, params + 2u), ek_param(call, params + 3u));
        value = ek_saturate_16(ek_add_wrap(value, sum));
        *out++ = (int16_t)(number == 2 ? ek_tanh_16(value, GATE_BITS)
                                       : ek_logistic_16(value, GATE_BITS));
        w_input += features;
        w_recurrent += units;
        bias += 8;
    }
}

/* New cell and hidden state of one step, from its gates. */
static void update(const ek_call *call, int16_t *cell, int8_t *h, int8_t *y) {
    const uint32_t units = call->tensors[W_RECURRENT].dims[1];
    const int16_t *gates = (const int16_t *)(void *)call->scratch;
    const int32_t bits = ek_param(call, CELL_BITS);
    const int32_t clip = ek_param(call, CELL_CLIP);
    for (size_t u = 0; u < units; u++) {
        const int32_t kept = ek_divide_16(gates[units + u] * cell[u], 15);
        const int32_t added = ek_divide_16(gates[u] * gates[2 * units + u], 15 + bits);
        int32_t value = ek_saturate_16((int16_t)kept + (int16_t)added);
        if (clip != 0) {
            value = value > clip ? clip : value < -clip ? -clip : value;
        }
        cell[u] = (int16_t)value;
        const int32_t product = gates[3 * units + u] * ek_tanh_16(value, bits);
        value = ek_multiply_double(product, ek_param(call, Y_MULTIPLIER), ek_param(call, Y_SHIFT));
        h[u] = ek_clamp_s8(ek_add_wrap(value, call->tensors[Y].zero_point), -128, 127);
        y[u] = h[u];
    }
}

void ek_lstm_s8(const ek_call *call) {
    const ek_tensor *t = call->tensors;
    const int time_major = (int)ek_param(call, TIME_MAJOR);
    const uint32_t batches = t[H].dims[0];
    const uint32_t steps = t[X].dims[time_major ? 0 : 1];
    const size_t units = t[H].dims[1];
    const size_t features = t[X].dims[2];
    const size_t step = time_major ? batches : 1;
    memcpy(t[H_OUT].write, t[H].data, t[H].count);
    memcpy(t[C_OUT].write, t[C].data, 2 * (size_t)t[C].count);
    for (uint32_t b = 0; b < batches; b++) {
        const size_t start = time_major ? b : (size_t)b * steps;
        const int8_t *x = (const int8_t *)t[X].data + start * features;
        int8_t *y = (int8_t *)t[Y].write + start * units;
        int8_t *h = (int8_t *)t[H_OUT].write + b * units;
        int16_t *cell = ek_s16_write(&t[C_OUT]) + b * units;
        for (uint32_t i = steps; i != 0; i--) {
            for (uint32_t number = 0; number < 4; number++) {
                gate(call, number, x, h);
            }
            update(call, cell, h, y);
            x += step * features;
            y += step * units;
        }
    }
}
