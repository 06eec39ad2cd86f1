/* A layer of GRU over all steps of one sample, with a state of 16 bits that begins at 0.
 * x int8 [.., C], T steps; input weights int8 [3 U, C], recurrent weights int8 [3 U, U], of the
 * gates update, reset, candidate; rows int32 [3 U, 6]: bias (zero point folded in), multiplier and
 * shift of the input's sum, then of the state's, which scale to 4,096ths; table int16 [513] of the
 * logistic function. y int8 [.., U]: the state behind every step, or behind the last.
 * Params: reset_after, backwards (0 or 1), multiplier and shift from the state to y. Scratch: x of
 * a step, the state and the next one; with the reset before the product also the update gate and
 * the state that is reset. Twin: edgekit/ops/gru.py, gru. */
#include "ek_fixed_16.h"
#include "ek_table_s16.h"
#include "ek_vector.h"

enum { RESET_AFTER, BACKWARDS, Y_MULTIPLIER, Y_SHIFT, PARAMS };
enum { X, W_INPUT, W_RECURRENT, ROWS, TABLE, Y };
enum { ROW_BYTES = 24, MAX_UNITS = 256, BIAS_LIMIT = 1 << 30 };
enum { HALF = 1 << 14, ONE = 1 << 15 };

/* One layer at work. */
typedef struct layer {
    const ek_call *call;
    const int16_t *table;
    int16_t *x;     /* [C] */
    int16_t *h;     /* [U] */
    int16_t *next;  /* [U] */
    int16_t *z;     /* [U] */
    int16_t *reset; /* [U]: r h */
    size_t features;
    size_t units;
} layer;

static int rows_ok(const ek_tensor *rows, uint32_t count) {
    if (rows->type != EK_S32 || rows->constant == 0 || rows->rank != 2 || rows->dims[0] != count ||
        rows->dims[1] != 6) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *row = rows->data + ROW_BYTES * (size_t)i;
        const int32_t bias = ek_get_i32(row + 12);
        if (bias <= -BIAS_LIMIT || bias >= BIAS_LIMIT) {
            return 0;
        }
        for (uint32_t part = 0; part < 2; part++) {
            const int32_t shift = ek_get_i32(row + 12 * (size_t)part + 8);
            if (ek_get_i32(row + 12 * (size_t)part + 4) < 0 || shift < -31 || shift > 30) {
                return 0;
            }
        }
    }
    return 1;
}

static int table_ok(const ek_tensor *table) {
    if (!ek_table_ok(table)) {
        return 0;
    }
    for (uint32_t i = 0; i < EK_TABLE_16; i++) {
        if (ek_s16(table)[i] < 0) {
            return 0;
        }
    }
    return 1;
}

ek_status ek_gru_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *t = call->tensors;
    if (!ek_call_is(call, 5, 1, PARAMS) || t[X].rank == 0 || t[W_INPUT].type != EK_S8 ||
        t[W_INPUT].constant == 0 || t[W_INPUT].rank != 2 || t[W_RECURRENT].type != EK_S8 ||
        t[W_RECURRENT].constant == 0 || t[W_RECURRENT].rank != 2) {
        return EK_ERR_SHAPE;
    }
    const uint32_t units = t[W_RECURRENT].dims[1];
    const uint32_t features = t[X].dims[t[X].rank - 1];
    if (units > MAX_UNITS || features > EK_MAX_TERMS || t[W_RECURRENT].dims[0] != 3 * units ||
        t[W_INPUT].dims[0] != 3 * units || t[W_INPUT].dims[1] != features) {
        return EK_ERR_SHAPE;
    }
    if (t[Y].count != units && t[Y].count != (uint64_t)(t[X].count / features) * units) {
        return EK_ERR_SHAPE;
    }
    if (!rows_ok(&t[ROWS], 3 * units) || !table_ok(&t[TABLE]) ||
        !ek_params_in(call, RESET_AFTER, 1, 0, 1) || !ek_params_in(call, BACKWARDS, 1, 0, 1) ||
        !ek_scale_ok(call, Y_MULTIPLIER)) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = 2 * features + (ek_param(call, RESET_AFTER) != 0 ? 4 : 8) * units;
    return EK_OK;
}

/* Scaled sums of up to four rows from `first` on: of the input, or of a state. */
static void sums_of(const layer *g, const int16_t *state, size_t first, size_t count,
                    int32_t *sums) {
    const int of_input = state == g->x;
    const ek_tensor *w = &g->call->tensors[of_input ? W_INPUT : W_RECURRENT];
    const size_t terms = of_input ? g->features : g->units;
    const uint8_t *row = g->call->tensors[ROWS].data + ROW_BYTES * first + (of_input ? 0 : 12);
    ek_vector_times_rows(state, (const int8_t *)w->data + first * terms, terms, count, sums);
    for (size_t i = 0; i < count; i++) {
        const int32_t sum = ek_add_wrap(sums[i], ek_get_i32(row));
        sums[i] = ek_multiply_double(sum, ek_get_i32(row + 4), ek_get_i32(row + 8));
        row += ROW_BYTES;
    }
}

static int32_t gate(const layer *g, int32_t input, int32_t state) {
    return ek_table_look(g->table, ek_saturate_16(ek_add_wrap(input, state)));
}

/* The next state of a unit. */
static int16_t mix(const layer *g, int32_t z, int32_t h, int32_t candidate) {
    const int32_t half = ek_table_look(g->table, ek_saturate_16(2 * ek_saturate_16(candidate)));
    const int32_t n = ek_saturate_16(2 * (half - HALF));
    return (int16_t)((z * h + (ONE - z) * n + HALF) >> 15);
}

/* Units from `u` on, the reset behind the product. */
static void units_after(const layer *g, size_t u, size_t count) {
    int32_t x[3][EK_VECTOR_ROWS];
    int32_t h[3][EK_VECTOR_ROWS];
    for (size_t part = 0; part < 3; part++) {
        sums_of(g, g->x, part * g->units + u, count, x[part]);
        sums_of(g, g->h, part * g->units + u, count, h[part]);
    }
    for (size_t i = 0; i < count; i++) {
        const int32_t z = gate(g, x[0][i], h[0][i]);
        const int32_t r = gate(g, x[1][i], h[1][i]);
        const int32_t kept = (r * ek_saturate_16(h[2][i]) + HALF) >> 15;
        g->next[u + i] = mix(g, z, g->h[u + i], ek_add_wrap(x[2][i], kept));
    }
}

/* The gates of units from `u` on, where the reset comes before the product. */
static void gates_before(const layer *g, size_t u, size_t count) {
    int32_t x[2][EK_VECTOR_ROWS];
    int32_t h[2][EK_VECTOR_ROWS];
    for (size_t part = 0; part < 2; part++) {
        sums_of(g, g->x, part * g->units + u, count, x[part]);
        sums_of(g, g->h, part * g->units + u, count, h[part]);
    }
    for (size_t i = 0; i < count; i++) {
        g->z[u + i] = (int16_t)gate(g, x[0][i], h[0][i]);
        const int32_t r = gate(g, x[1][i], h[1][i]);
        g->reset[u + i] = (int16_t)((r * g->h[u + i] + HALF) >> 15);
    }
}

static void units_before(const layer *g, size_t u, size_t count) {
    int32_t x[EK_VECTOR_ROWS];
    int32_t h[EK_VECTOR_ROWS];
    sums_of(g, g->x, 2 * g->units + u, count, x);
    sums_of(g, g->reset, 2 * g->units + u, count, h);
    for (size_t i = 0; i < count; i++) {
        g->next[u + i] = mix(g, g->z[u + i], g->h[u + i], ek_add_wrap(x[i], h[i]));
    }
}

static void each(const layer *g, void (*work)(const layer *, size_t, size_t)) {
    for (size_t u = 0; u < g->units; u += EK_VECTOR_ROWS) {
        work(g, u, g->units - u < EK_VECTOR_ROWS ? g->units - u : EK_VECTOR_ROWS);
    }
}

static void step(layer *g, const int8_t *x) {
    for (size_t i = 0; i < g->features; i++) {
        g->x[i] = x[i];
    }
    if (ek_param(g->call, RESET_AFTER) != 0) {
        each(g, units_after);
    } else {
        each(g, gates_before);
        each(g, units_before);
    }
    int16_t *const before = g->h;
    g->h = g->next;
    g->next = before;
}

static void write(const layer *g, int8_t *y) {
    const ek_output out = {g->call->tensors[Y].zero_point, -128, 127};
    const int32_t multiplier = ek_param(g->call, Y_MULTIPLIER);
    const int32_t shift = ek_param(g->call, Y_SHIFT);
    for (size_t u = 0; u < g->units; u++) {
        y[u] = ek_finish_double(g->h[u], multiplier, shift, out);
    }
}

void ek_gru_s8(const ek_call *call) {
    const ek_tensor *t = call->tensors;
    const size_t units = t[W_RECURRENT].dims[1];
    const size_t features = t[W_INPUT].dims[1];
    const size_t steps = t[X].count / features;
    int16_t *scratch = (int16_t *)(void *)call->scratch;
    layer g = {.call = call,
               .table = ek_s16(&t[TABLE]),
               .x = scratch,
               .h = scratch + features,
               .next = scratch + features + units,
               .z = scratch + features + 2 * units,
               .reset = scratch + features + 3 * units,
               .features = features,
               .units = units};
    const int backwards = ek_param(call, BACKWARDS) != 0;
    const int all = t[Y].count != units;
    const int8_t *x = (const int8_t *)t[X].data;
    int8_t *y = (int8_t *)t[Y].write;
    memset(g.h, 0, units * sizeof *g.h);
    for (size_t i = 0; i < steps; i++) {
        step(&g, x + (backwards ? steps - 1 - i : i) * features);
        if (all) {
            write(&g, y);
            y += units;
        }
    }
    if (!all) {
        write(&g, y);
    }
}
