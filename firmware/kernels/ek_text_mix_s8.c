/* The convolution branch of a sentence model, four rows at a time: y = base + table[conv(n)] W + b.
 * base, n, y [1, L, d], count int32 [1], kernel [k, d a] with requant int32 [d a, 3], table int8
 * [256], W [d, d a] with requant as of ek_fully_connected_s8. The convolution is per channel,
 * output c a + m reads channel c; rows before the first and behind the count count as zero. With
 * adds = 0 base is not read. y may be base if adds = 1. An operator of our own. Params: adds; left:
 * rows before its own that an output sees; zero of the convolution; multiplier, shift, zero of the
 * product; factors and offset of the sum; rounding. Scratch: four rows of d a and of d. Twin:
 * edgekit/ops/text.py, _mix */
#include "ek_sentence.h"

enum {
    ADDS,
    LEFT,
    CONV_ZERO,
    MULTIPLIER,
    SHIFT,
    ZERO,
    JOIN,
    JOIN_FACTOR,
    JOIN_OFFSET,
    ROUNDING,
    PARAMS
};
enum { BASE, N, COUNT, KERNEL, RK, TABLE, W, RW, Y };

ek_status ek_text_mix_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *t = call->tensors;
    if (!ek_call_is(call, 8, 1, PARAMS) || !ek_states_ok(&t[N]) || !ek_states_ok(&t[BASE]) ||
        !ek_same_dims(&t[N], &t[BASE]) || !ek_same_dims(&t[N], &t[Y]) || !ek_count_ok(&t[COUNT])) {
        return EK_ERR_SHAPE;
    }
    const uint32_t d = t[N].dims[2];
    const uint32_t wide = t[KERNEL].dims[1];
    if (t[KERNEL].type != EK_S8 || t[KERNEL].constant == 0 || t[KERNEL].rank != 2 ||
        wide > 16u * EK_MAX_WIDTH || wide % d != 0 || t[KERNEL].dims[0] > EK_MAX_WIDTH ||
        !ek_requant_rows_ok(&t[RK], wide) || t[TABLE].type != EK_S8 || t[TABLE].constant == 0 ||
        t[TABLE].count != 256 || !ek_weights_ok(&t[W], &t[RW], d, wide)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, ADDS, 1, 0, 1) ||
        !ek_params_in(call, LEFT, 1, 0, (int32_t)t[KERNEL].dims[0] - 1) ||
        !ek_params_in(call, CONV_ZERO, 1, -128, 127) || !ek_scale_ok(call, MULTIPLIER) ||
        !ek_params_in(call, ZERO, 1, -128, 127) || !ek_join_ok(call, JOIN) ||
        !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = EK_ROWS * (wide + d);
    if (ek_param(call, ADDS) != 0) {
        need->lead = 0;
    }
    return EK_OK;
}

/* Where one channel of the convolution reads: rows [first, first + size) of x, d bytes apart. */
typedef struct window {
    const int8_t *x; /* row 0 of the channel */
    size_t stride;
    int32_t rows; /* rows that there are */
    int32_t zero;
    const int8_t *kernel; /* tap 0 of the output */
    size_t wide;
    uint32_t size;
} window;

static inline int32_t row_at(const window *v, int32_t row) {
    return row < 0 || row >= v->rows ? 0 : v->x[(size_t)row * v->stride] - v->zero;
}

/* Four outputs one below the other: each input and each tap is read once. */
static void four_sums(const window *v, int32_t first, int32_t sums[EK_ROWS]) {
    const int8_t *kernel = v->kernel;
    int32_t a = row_at(v, first);
    int32_t b = row_at(v, first + 1);
    int32_t c = row_at(v, first + 2);
    first += 3;
    for (uint32_t j = v->size; j != 0; j--) {
        const int32_t tap = *kernel;
        const int32_t d = row_at(v, first++);
        sums[0] += tap * a;
        sums[1] += tap * b;
        sums[2] += tap * c;
        sums[3] += tap * d;
        a = b;
        b = c;
        c = d;
        kernel += j == 1 ? 0 : v->wide;
    }
}

/* Rows [first, first + block) of table[conv(n)]. */
static void convolve_block(const ek_call *call, int32_t first, uint32_t block, uint32_t count,
                           int8_t *rows) {
    const ek_tensor *n = &call->tensors[N];
    const uint32_t wide = call->tensors[KERNEL].dims[1];
    const uint32_t expansion = wide / n->dims[2];
    const uint8_t *requant = call->tensors[RK].data;
    const int8_t *table = (const int8_t *)call->tensors[TABLE].data + 128;
    const ek_output out = {ek_param(call, CONV_ZERO), -128, 127};
    const int single = ek_param(call, ROUNDING) == EK_ROUND_SINGLE;
    window v = {
        .x = (const int8_t *)n->data,
        .stride = n->dims[2],
        .rows = (int32_t)count,
        .zero = n->zero_point,
        .kernel = (const int8_t *)call->tensors[KERNEL].data,
        .wide = wide,
        .size = call->tensors[KERNEL].dims[0],
    };
    first -= ek_param(call, LEFT);
    for (uint32_t c = 0; c < wide; c += expansion) {
        for (uint32_t m = 0; m < expansion; m++) {
            const int32_t bias = ek_get_i32(requant);
            const int32_t multiplier = ek_get_i32(requant + 4);
            const int32_t shift = ek_get_i32(requant + 8);
            int32_t sums[EK_ROWS] = {0};
            four_sums(&v, first, sums);
            for (uint32_t i = 0; i < block; i++) {
                const int32_t sum = ek_add_wrap(sums[i], bias);
                const int8_t value = single ? ek_finish_single(sum, multiplier, shift, out)
                                            : ek_finish_double(sum, multiplier, shift, out);
                rows[(size_t)i * wide + c + m] = table[value];
            }
            requant += 12;
            v.kernel++;
        }
        v.x++;
    }
}

void ek_text_mix_s8(const ek_call *call) {
    const ek_tensor *n = &call->tensors[N];
    const ek_tensor *w = &call->tensors[W];
    const uint32_t d = n->dims[2];
    const uint32_t count = ek_count(&call->tensors[COUNT], n->dims[1]);
    const int8_t *base = (const int8_t *)call->tensors[BASE].data;
    int8_t *y = (int8_t *)call->tensors[Y].write;
    int8_t *rows = (int8_t *)call->scratch;
    int8_t *u = rows + EK_ROWS * (size_t)w->dims[1];
    const ek_matmul m = {
        .weights = (const int8_t *)w->data,
        .requant = call->tensors[RW].data,
        .requant_stride = 4u * call->tensors[RW].dims[1],
        .multiplier = ek_param(call, MULTIPLIER),
        .shift = ek_param(call, SHIFT),
        .n = d,
        .k = w->dims[1],
        .y_zero_point = ek_param(call, ZERO),
        .y_min = -128,
        .y_max = 127,
        .rounding = ek_param(call, ROUNDING),
        .x = rows,
    };
    for (uint32_t first = 0; first < count; first += EK_ROWS) {
        const uint32_t block = count - first < EK_ROWS ? count - first : EK_ROWS;
        const size_t bytes = (size_t)block * d;
        convolve_block(call, (int32_t)first, block, count, rows);
        if (ek_param(call, ADDS) != 0) {
            ek_matmul_s8(&m, block, u);
            ek_join_rows(call, JOIN, base, u, y, bytes);
        } else {
            ek_matmul_s8(&m, block, y);
        }
        base += bytes;
        y += bytes;
    }
}
