/* Normalizes rows of x [.., N] over the last dimension: with centred = 1 y = (x - mean) / sqrt(var
 * + epsilon) * gamma + beta, with 0 y = x / sqrt(mean of squares + epsilon) * gamma + beta. An
 * operator of our own. Mean and variance are exact, the inverse root is right to 2^-24.
 * rows int32 [N, 2]: gamma, beta, scaled for the output as edgekit/ops/norm.py does; beta contains
 * the output's zero point and a half, |beta| < 2^30. Params: centred; eps_high, eps_low: epsilon,
 * in units of x squared, times N^2 2^8, its bits from 31 up and below; fraction: bits of beta
 * behind the point; y_min, y_max. Scratch: none. Twin: edgekit/ops/norm.py, LAYER_NORM and
 * layer_norm. */
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { CENTRED, EPS_HIGH, EPS_LOW, FRACTION, Y_MIN, Y_MAX, PARAMS };

/* Bits of a row's numbers that depend on N only. */
typedef struct row_format {
    uint32_t whole; /* bits before the point of a normalized value: N < 4^whole */
    uint32_t room;  /* bits by which a difference may be shifted left */
} row_format;

static row_format format_of(uint32_t n) {
    row_format format = {1, 0};
    while (n >> (2u * format.whole) != 0) {
        format.whole++;
    }
    uint32_t bits = 0;
    while (n > 1u << bits) {
        bits++;
    }
    format.room = (format.whole < 2 ? 23u : 25u - format.whole) - bits;
    return format;
}

ek_status ek_layer_norm_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *rows = &call->tensors[1];
    if (!ek_call_is(call, 2, 1, PARAMS) || x->rank == 0 || !ek_same_dims(x, &call->tensors[2]) ||
        x->dims[x->rank - 1] > EK_MAX_TERMS || rows->type != EK_S32 || rows->constant == 0 ||
        rows->rank != 2 || rows->dims[0] != x->dims[x->rank - 1] || rows->dims[1] != 2) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, CENTRED, 1, 0, 1) || !ek_params_in(call, EPS_HIGH, 2, 0, INT32_MAX) ||
        !ek_params_in(call, FRACTION, 1, 0, 30) || !ek_clamp_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < rows->dims[0]; i++) {
        int32_t beta = ek_get_i32(rows->data + 8 * (size_t)i + 4);
        if (beta <= -(1 << 30) || beta >= 1 << 30) {
            return EK_ERR_RANGE;
        }
    }
    return EK_OK;
}

/* What every value of a row is multiplied by: 2^31 / (2 sqrt(m)), m = value 4^pairs / 2^64 in
 * [1/4, 1). Three Newton steps, right to 2^-24. */
static int32_t inverse_root(uint64_t value, int32_t *pairs) {
    *pairs = 0;
    for (int32_t step = 16; step != 0; step /= 2) {
        if (value >> (64 - 2 * step) == 0) {
            value <<= 2 * step;
            *pairs += step;
        }
    }
    const uint64_t m = value >> 32;
    uint64_t root = UINT64_C(2287070085) - (m * UINT64_C(1305670057) >> 32);
    for (int i = 0; i < 3; i++) {
        const uint64_t square = root * root >> 31;
        root = root * ((UINT64_C(3) << 29) - (m * square >> 32)) >> 30;
    }
    return root > INT32_MAX ? INT32_MAX : (int32_t)root;
}

static void row(const ek_call *call, row_format format, const int8_t *x, int8_t *y) {
    const int32_t n = (int32_t)call->tensors[1].dims[0];
    const int32_t zero = call->tensors[0].zero_point;
    const int centred = (int)ek_param(call, CENTRED);
    int32_t sum = 0;
    int32_t squares = 0;
    const int8_t *end = x + n;
    for (const int8_t *p = x; p != end; p++) {
        const int32_t value = *p;
        sum += value;
        squares += value * value;
    }
    /* N^2 times the variance or the mean square, exactly: at most N^2 2^16. */
    const int64_t spread = centred
                               ? (int64_t)n * squares - (int64_t)sum * sum
                               : n * (squares - 2 * (int64_t)zero * sum + (int64_t)zero * zero * n);
    const uint64_t epsilon =
        ((uint64_t)ek_param(call, EPS_HIGH) << 31) + (uint64_t)ek_param(call, EPS_LOW);
    const uint64_t value = ((uint64_t)spread << 8) + epsilon;
    int32_t pairs = 0;
    int32_t root = value == 0 ? 0 : inverse_root(value, &pairs);
    int32_t left = pairs + 5 - (int32_t)(format.whole + format.room);
    if (left < 0) {
        root = left < -30 ? 0 : root >> -left;
        left = 0;
    }
    const int32_t scale = (int32_t)((uint32_t)n << format.room);
    const int32_t offset = (int32_t)((uint32_t)(centred ? sum : n * zero) << format.room);
    const int32_t fraction = ek_param(call, FRACTION);
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    const uint8_t *constants = call->tensors[1].data;
    for (; x != end; x++) {
        const int32_t difference = *x * scale - offset;
        const uint32_t high = (uint32_t)(int32_t)(((int64_t)difference * root) >> 32);
        const int32_t normal = (int32_t)(high << left);
        const int32_t scaled = (int32_t)(((int64_t)normal * ek_get_i32(constants)) >> 32);
        *y++ = ek_clamp_s8((scaled + ek_get_i32(constants + 4)) >> fraction, y_min, y_max);
        constants += 8;
    }
}

void ek_layer_norm_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t n = x->dims[x->rank - 1];
    const row_format format = format_of(n);
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)call->tensors[2].write;
    for (uint32_t rows = x->count / n; rows != 0; rows--) {
        row(call, format, from, to);
        from += n;
        to += n;
    }
}
