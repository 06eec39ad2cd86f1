/* CONV_2D without dilation, weights packed for cores with MVE: x [N, H, W, C], w int8 [ceil(M / 4),
 * 4 * K + 48] with K = KH * KW * C rounded up to 16 (ek_tile_mve.h), y [N, OH, OW, M].
 * Params: stride_h, stride_w, kernel_h, kernel_w, pad_top, pad_left, y_min, y_max, rounding.
 * Scratch: some gathered pixels of K bytes. Twin: edgekit/ops/mve.py, CONV_2D_MVE. */
#include "ek_lead.h"
#include "ek_tile_mve.h"

enum { STRIDE_H, STRIDE_W, KERNEL_H, KERNEL_W, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, ROUNDING, PARAMS };

enum { BATCH_BYTES = 1024, BATCH_MAX = 16 };

/* Terms of a pixel in steps of 16. */
static uint32_t steps_of(const ek_call *call) {
    const uint32_t taps = (uint32_t)(ek_param(call, KERNEL_H) * ek_param(call, KERNEL_W));
    return ek_mve_steps(taps * call->tensors[0].dims[3]);
}

/* How many pixels are gathered at a time. */
static uint32_t batch_of(uint32_t steps) {
    const uint32_t batch = BATCH_BYTES / (EK_MVE_TERMS * steps) & ~1u;
    return batch < 2 ? 2 : batch > BATCH_MAX ? BATCH_MAX : batch;
}

static int is_pointwise(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    return ek_params_in(call, STRIDE_H, 4, 1, 1) && ek_params_in(call, PAD_TOP, 2, 0, 0) &&
           x->dims[1] == y->dims[1] && x->dims[2] == y->dims[2];
}

ek_status ek_conv_2d_mve_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || x->rank != 4 || y->rank != 4 ||
        y->dims[0] != x->dims[0] || x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t taps = (uint32_t)(ek_param(call, KERNEL_H) * ek_param(call, KERNEL_W));
    if ((uint64_t)taps * x->dims[3] > EK_MAX_TERMS) {
        return EK_ERR_SHAPE;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const int64_t reach = (int64_t)y->dims[1 + i] * ek_param(call, STRIDE_H + i);
        if (reach > INT32_MAX / 2) {
            return EK_ERR_RANGE;
        }
    }
    const uint32_t steps = steps_of(call);
    if (!ek_mve_records_ok(w, (y->dims[3] + 3) / 4, ek_mve_record_bytes(steps))) {
        return EK_ERR_RANGE;
    }
    if (is_pointwise(call)) {
        ek_pointwise_mve_need(x->count / x->dims[3], x->dims[3], y->dims[3], need);
    } else {
        need->scratch_bytes = batch_of(steps) * EK_MVE_TERMS * steps;
        need->lead = ek_window_lead(call, x, y, STRIDE_H, PAD_TOP);
    }
    return EK_OK;
}

/* Cuts [start, start + length) to [0, limit): returns how much is cut off before, and what is left
 * in *length. */
static int32_t cut(int32_t start, int32_t *length, int32_t limit) {
    const int32_t before = start < 0 ? -start : 0;
    const int32_t end = start + *length < limit ? start + *length : limit;
    *length = end - start - before;
    return before;
}

/* Copies the patch under one output pixel, filling what lies outside with the zero point. */
static void gather_border(const ek_call *call, const int8_t *image, int32_t iy, int32_t ix,
                          int8_t *to) {
    const ek_tensor *x = &call->tensors[0];
    const size_t channels = x->dims[3];
    int32_t rows = ek_param(call, KERNEL_H);
    int32_t columns = ek_param(call, KERNEL_W);
    const size_t line = (size_t)columns * channels;
    ek_fill_mve(to, x->zero_point, (size_t)rows * line);
    const int32_t top = cut(iy, &rows, (int32_t)x->dims[1]);
    const int32_t left = cut(ix, &columns, (int32_t)x->dims[2]);
    if (rows > 0 && columns > 0) {
        const size_t start = (size_t)(iy + top) * x->dims[2] + (size_t)(ix + left);
        ek_patch_mve(to + (size_t)top * line + (size_t)left * channels, line,
                     image + start * channels, x->dims[2] * channels, (size_t)columns * channels,
                     (uint32_t)rows);
    }
}

/* Where the window of an output pixel lies. */
typedef struct position {
    uint32_t oy;
    uint32_t ox;
    int32_t iy;
    int32_t ix;
    const int8_t *image;
} position;

/* Gathers the next pixels, and moves on. */
static void gather(const ek_call *call, position *p, uint32_t pixels, int8_t *to, size_t step) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const int32_t kernel_h = ek_param(call, KERNEL_H);
    const int32_t kernel_w = ek_param(call, KERNEL_W);
    const int32_t last_y = (int32_t)x->dims[1] - kernel_h;
    const int32_t last_x = (int32_t)x->dims[2] - kernel_w;
    const int32_t stride = ek_param(call, STRIDE_W);
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const size_t row = (size_t)kernel_w * channels;
    for (; pixels != 0; pixels--) {
        if (p->iy >= 0 && p->ix >= 0 && p->iy <= last_y && p->ix <= last_x) {
            ek_patch_mve(to, row, p->image + (size_t)p->iy * line + (size_t)p->ix * channels, line,
                         row, (uint32_t)kernel_h);
        } else {
            gather_border(call, p->image, p->iy, p->ix, to);
        }
        to += step;
        p->ix += stride;
        p->ox++;
        if (p->ox == y->dims[2]) {
            p->ox = 0;
            p->ix = -ek_param(call, PAD_LEFT);
            p->iy += ek_param(call, STRIDE_H);
            p->oy++;
            if (p->oy == y->dims[1]) {
                p->oy = 0;
                p->iy = -ek_param(call, PAD_TOP);
                p->image += line * x->dims[1];
            }
        }
    }
}

void ek_conv_2d_mve_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const uint32_t outputs = y->dims[3];
    const int32_t low = ek_param(call, Y_MIN);
    /* Negative values end at the zero point or below: how their ties are rounded does not count. */
    const ek_tile_mve_fn tile = ek_param(call, ROUNDING) == EK_ROUND_SINGLE ? ek_tile_single_mve
                                : low >= y->zero_point                      ? ek_tile_double_mve
                                                                            : ek_tile_away_mve;
    ek_tile_mve t = {
        .x = (const int8_t *)x->data,
        .x_step = x->dims[3],
        .w = call->tensors[1].data,
        .y = (int8_t *)y->write,
        .y_step = outputs,
        .steps = steps_of(call),
        .zero_point = y->zero_point,
        .low = low,
        .high = ek_param(call, Y_MAX),
    };
    uint32_t left = y->count / outputs;
    if (is_pointwise(call)) {
        t.pixels = left;
        ek_pointwise_mve(&t, tile, x->dims[3], outputs, call->scratch);
        return;
    }
    position p = {
        .iy = -ek_param(call, PAD_TOP),
        .ix = -ek_param(call, PAD_LEFT),
        .image = (const int8_t *)x->data,
    };
    const uint32_t batch = batch_of(t.steps);
    t.x = (const int8_t *)call->scratch;
    t.x_step = (size_t)EK_MVE_TERMS * t.steps;
    for (; left != 0; left -= t.pixels) {
        t.pixels = left < batch ? left : batch;
        gather(call, &p, t.pixels, (int8_t *)call->scratch, t.x_step);
        ek_layer_mve(&t, tile, outputs);
        t.y += (size_t)t.pixels * outputs;
    }
}
