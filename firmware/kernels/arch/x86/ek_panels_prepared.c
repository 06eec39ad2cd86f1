/* CONV_2D and FULLY_CONNECTED with weights that were laid out before: lines of the image become
 * int16 once, and windows are read where they lie in them. */
#include "ek_lines.h"
#include "ek_matmul_x86.h"
#include "ek_prepared_x86.h"
#include "ek_window_s8.h"

/* Params of FULLY_CONNECTED. */
enum { DENSE_MULTIPLIER, DENSE_SHIFT, DENSE_Y_MIN, DENSE_Y_MAX, DENSE_ROUNDING };

/* The constants of a node; all pointers lead into the memory that begins with it. */
typedef struct layer {
    ek_lines lines;
    ek_dot_panels panels;
    uint32_t *places; /* where each window of a chunk begins in the lines */
    size_t images;
} layer;

/* A node before it is laid out. The weights of a column are `segments_h` times `segments_w` runs of
 * `run` terms. */
typedef struct plan {
    ek_matmul m;
    ek_lines lines;
    size_t segments_h;
    size_t segments_w;
    size_t run;
    size_t line_step;  /* elements of x from a segment to the one below */
    size_t pixel_step; /* to the one beside */
    size_t images;
} plan;

/* Byte offsets of a layer's parts. */
typedef struct parts {
    size_t out;
    size_t starts;
    size_t places;
    size_t weights;
    size_t end;
} parts;

static ek_matmul matmul_of(const ek_call *call, uint32_t y_min, uint32_t rounding) {
    const ek_tensor *w = &call->tensors[1];
    return (ek_matmul){
        .weights = (const int8_t *)w->data,
        .requant = call->tensors[2].data,
        .requant_stride = 4u * call->tensors[2].dims[1],
        .n = w->dims[0],
        .k = w->count / w->dims[0],
        .y_zero_point = call->tensors[3].zero_point,
        .y_min = ek_param(call, y_min),
        .y_max = ek_param(call, y_min + 1),
        .rounding = ek_param(call, rounding),
    };
}

static int plan_rows(plan *p, size_t rows) {
    p->segments_h = 1;
    p->segments_w = 1;
    p->run = p->m.k;
    p->images = 1;
    return ek_matmul_shifts_fit(&p->m) && ek_lines_of_rows(rows, p->m.k, &p->lines);
}

static int plan_conv(const ek_call *call, plan *p) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const size_t channels = w->dims[3];
    const int apart = ek_param(call, DILATION_W) != 1;
    *p = (plan){.m = matmul_of(call, Y_MIN, ROUNDING)};
    if (p->m.k == channels && ek_param(call, STRIDE_H) == 1 && ek_param(call, STRIDE_W) == 1 &&
        ek_param(call, PAD_TOP) == 0 && ek_param(call, PAD_LEFT) == 0 && x->dims[1] == y->dims[1] &&
        x->dims[2] == y->dims[2]) {
        return plan_rows(p, y->count / p->m.n);
    }
    p->segments_h = w->dims[1];
    p->segments_w = apart ? w->dims[2] : 1;
    p->run = apart ? channels : w->dims[2] * channels;
    p->images = x->dims[0];
    if (!ek_matmul_shifts_fit(&p->m) || !ek_lines_of(call, &p->lines)) {
        return 0;
    }
    p->line_step = (size_t)ek_param(call, DILATION_H) * p->lines.line;
    p->pixel_step = (size_t)ek_param(call, DILATION_W) * channels;
    return 1;
}

static int plan_dense(const ek_call *call, plan *p) {
    *p = (plan){.m = matmul_of(call, DENSE_Y_MIN, DENSE_ROUNDING)};
    p->m.multiplier = ek_param(call, DENSE_MULTIPLIER);
    p->m.shift = ek_param(call, DENSE_SHIFT);
    return plan_rows(p, call->tensors[0].count / p->m.k);
}

static size_t pairs_of(const plan *p) {
    return (p->run + 1) / 2;
}

static size_t panel_size(const plan *p) {
    return 2 * EK_DOT_COLUMNS * pairs_of(p) * p->segments_h * p->segments_w;
}

static parts parts_of(const plan *p) {
    const size_t mask = EK_PREPARED_ALIGN - 1;
    const size_t count = (p->m.n + EK_DOT_COLUMNS - 1) / EK_DOT_COLUMNS;
    parts at;
    at.out = (sizeof(layer) + mask) & ~mask;
    at.starts = at.out + count * (EK_DOT_COLUMNS / 8) * sizeof(ek_dot_output);
    at.places = at.starts + p->segments_h * p->segments_w * sizeof(uint32_t);
    at.weights = at.places + p->lines.most * p->lines.columns * sizeof(uint32_t);
    at.weights = (at.weights + mask) & ~mask;
    at.end = at.weights + count * panel_size(p) * sizeof(int16_t);
    return at;
}

static int need_of(const plan *p, ek_prepared_need *need) {
    need->constants = parts_of(p).end;
    need->workspace = ek_lines_size(&p->lines) * sizeof(int16_t);
    return 1;
}

/* One column of weights into its panel; terms that are missing are 0. */
static void fill_column(const plan *p, const int8_t *w, int16_t *panel) {
    for (size_t s = 0; s < p->segments_h * p->segments_w; s++) {
        for (size_t k = 0; k < 2 * pairs_of(p); k++) {
            panel[2 * EK_DOT_COLUMNS * (k / 2) + k % 2] = k < p->run ? w[k] : 0;
        }
        w += p->run;
        panel += 2 * EK_DOT_COLUMNS * pairs_of(p);
    }
}

static void fill_weights(const plan *p, int16_t *weights) {
    for (size_t n = 0; n < (p->m.n + EK_DOT_COLUMNS - 1) / EK_DOT_COLUMNS * EK_DOT_COLUMNS; n++) {
        const size_t begin = n / EK_DOT_COLUMNS * EK_DOT_COLUMNS;
        const size_t place = ek_dot_first(p->m.n, begin) + n - begin;
        const size_t column = place < p->m.n ? place : p->m.n - 1;
        fill_column(p, p->m.weights + column * p->m.k,
                    weights + n / EK_DOT_COLUMNS * panel_size(p) + 2 * (n % EK_DOT_COLUMNS));
    }
}

static void fill_places(const plan *p, uint32_t *starts, uint32_t *places) {
    for (size_t i = 0; i < p->segments_h; i++) {
        for (size_t j = 0; j < p->segments_w; j++) {
            *starts++ = (uint32_t)(i * p->line_step + j * p->pixel_step);
        }
    }
    for (size_t row = 0; row < p->lines.most; row++) {
        for (size_t column = 0; column < p->lines.columns; column++) {
            *places++ =
                (uint32_t)(row * p->lines.step_h * p->lines.line + column * p->lines.step_w);
        }
    }
}

static void fill_layer(const plan *p, uint8_t *memory) {
    const parts at = parts_of(p);
    layer *l = (layer *)(void *)memory;
    ek_dot_output *out = (ek_dot_output *)(void *)(memory + at.out);
    uint32_t *starts = (uint32_t *)(void *)(memory + at.starts);
    int16_t *weights = (int16_t *)(void *)(memory + at.weights);
    l->lines = p->lines;
    l->images = p->images;
    l->places = (uint32_t *)(void *)(memory + at.places);
    l->panels = (ek_dot_panels){.weights = weights,
                                .out = out,
                                .starts = starts,
                                .segments = p->segments_h * p->segments_w,
                                .pairs = pairs_of(p),
                                .columns = p->m.n,
                                .y_step = p->m.n};
    for (uint32_t n = 0; n < p->m.n; n += EK_DOT_COLUMNS) {
        const uint32_t first = (uint32_t)ek_dot_first(p->m.n, n);
        const uint32_t left = p->m.n - first;
        ek_matmul_outputs(&p->m, first, left < EK_DOT_COLUMNS ? left : EK_DOT_COLUMNS, out + n / 8);
    }
    fill_places(p, starts, l->places);
    fill_weights(p, weights);
}

static void run_layer(const ek_call *call, const layer *l, int16_t *x) {
    const ek_lines *lines = &l->lines;
    const int8_t *image = (const int8_t *)call->tensors[0].data;
    int8_t *y = (int8_t *)call->tensors[3].write;
    for (size_t i = 0; i < l->images; i++) {
        for (size_t row = 0; row < lines->rows; row += lines->most) {
            const size_t count = ek_lines_count(lines, row);
            ek_lines_fill(lines, image, row, count, x);
            ek_dot_multiply(&l->panels, x, l->places, count * lines->columns, y);
            y += count * lines->columns * l->panels.columns;
        }
        image += lines->height * lines->stored;
    }
}

int ek_conv_2d_need(const ek_call *call, ek_prepared_need *need) {
    plan p;
    return plan_conv(call, &p) && need_of(&p, need);
}

void ek_conv_2d_fill(const ek_call *call, void *constants) {
    plan p;
    (void)plan_conv(call, &p);
    fill_layer(&p, constants);
}

void ek_conv_2d_ready(const ek_call *call, const void *constants, void *workspace) {
    run_layer(call, constants, workspace);
}

int ek_fully_connected_need(const ek_call *call, ek_prepared_need *need) {
    plan p;
    return plan_dense(call, &p) && need_of(&p, need);
}

void ek_fully_connected_fill(const ek_call *call, void *constants) {
    plan p;
    (void)plan_dense(call, &p);
    fill_layer(&p, constants);
}

void ek_fully_connected_ready(const ek_call *call, const void *constants, void *workspace) {
    run_layer(call, constants, workspace);
}
