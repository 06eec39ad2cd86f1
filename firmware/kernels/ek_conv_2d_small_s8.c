/* conv_2d with weights packed for small cores: x [N, H, W, C], w [groups of 4 outputs, KH * KW * C,
 * 4] + 128, requant int32 [M, 3], y [N, OH, OW, M]. Params: those of conv_2d, then kernel_h,
 * kernel_w, and tiled: 1 to compute four pixels at a time. Scratch: ek_matmul_small_scratch_bytes.
 * Twin: edgekit/ops/small.py, CONV_2D_SMALL. */
#include "ek_lead.h"
#include "ek_matmul_small.h"

enum {
    STRIDE_H,
    STRIDE_W,
    DILATION_H,
    DILATION_W,
    PAD_TOP,
    PAD_LEFT,
    Y_MIN,
    Y_MAX,
    ROUNDING,
    KERNEL_H,
    KERNEL_W,
    TILED,
    PARAMS
};

static int is_pointwise(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[3];
    return ek_param(call, KERNEL_H) == 1 && ek_param(call, KERNEL_W) == 1 &&
           ek_param(call, STRIDE_H) == 1 && ek_param(call, STRIDE_W) == 1 &&
           ek_param(call, PAD_TOP) == 0 && ek_param(call, PAD_LEFT) == 0 &&
           x->dims[1] == y->dims[1] && x->dims[2] == y->dims[2];
}

ek_status ek_conv_2d_small_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || x->rank != 4 || y->rank != 4 ||
        !ek_small_weights_ok(w, y->dims[3]) || y->dims[0] != x->dims[0] ||
        x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1) ||
        !ek_params_in(call, KERNEL_H, 2, 1, EK_MAX_TERMS) || !ek_params_in(call, TILED, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t kernel_h = (uint32_t)ek_param(call, KERNEL_H);
    const uint32_t kernel_w = (uint32_t)ek_param(call, KERNEL_W);
    if ((uint64_t)kernel_h * kernel_w > EK_MAX_TERMS ||
        (uint64_t)kernel_h * kernel_w * x->dims[3] != w->dims[1]) {
        return EK_ERR_SHAPE;
    }
    if (!ek_small_rows_ok(&call->tensors[2], y->dims[3]) ||
        !ek_window_ok(call, y, kernel_h, kernel_w, STRIDE_H, PAD_TOP)) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes =
        ek_matmul_small_scratch_bytes(w->dims[1], ek_param(call, TILED), !is_pointwise(call));
    need->lead = is_pointwise(call)
                     ? ek_small_rows_lead(y->count / y->dims[3], x->dims[3], y->dims[3])
                     : ek_window_lead(call, x, y, STRIDE_H, PAD_TOP);
    return EK_OK;
}

/* The window of the next output pixel. */
typedef struct walk {
    const int8_t *image; /* of this batch */
    size_t image_bytes;
    size_t channels;
    int32_t height;
    int32_t width;
    int32_t iy; /* where it begins */
    int32_t ix;
    uint32_t column; /* of y */
    uint32_t row;
    uint32_t columns;
    uint32_t rows;
    int32_t kernel_h;
    int32_t kernel_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t dilation_h;
    int32_t dilation_w;
    int32_t pad_top;
    int32_t pad_left;
    int32_t filler;
} walk;

/* One line of the window, neighbours: what lies left of the image, in it, and right of it. */
static void put_line(const walk *v, const int8_t *line, ek_small_sink *sink) {
    int32_t left = v->ix < 0 ? -v->ix : 0;
    left = left > v->kernel_w ? v->kernel_w : left;
    int32_t inside = v->kernel_w - left;
    const int32_t room = v->width - v->ix - left;
    inside = inside > room ? room : inside;
    inside = inside < 0 ? 0 : inside;
    ek_small_fill(sink, v->filler, (size_t)left * v->channels);
    if (inside != 0) {
        ek_small_put(sink, line + (size_t)(v->ix + left) * v->channels,
                     (size_t)inside * v->channels);
    }
    ek_small_fill(sink, v->filler, (size_t)(v->kernel_w - left - inside) * v->channels);
}

static void put_spread_line(const walk *v, const int8_t *line, ek_small_sink *sink) {
    int32_t ix = v->ix;
    for (int32_t kx = v->kernel_w; kx != 0; kx--) {
        if (ix < 0 || ix >= v->width) {
            ek_small_fill(sink, v->filler, v->channels);
        } else {
            ek_small_put(sink, line + (size_t)ix * v->channels, v->channels);
        }
        ix += v->dilation_w;
    }
}

static void next_window(void *state, ek_small_sink *sink) {
    walk *v = (walk *)state;
    int32_t iy = v->iy;
    for (int32_t ky = v->kernel_h; ky != 0; ky--) {
        if (iy < 0 || iy >= v->height) {
            ek_small_fill(sink, v->filler, (size_t)v->kernel_w * v->channels);
        } else {
            const int8_t *line = v->image + (size_t)iy * (size_t)v->width * v->channels;
            if (v->dilation_w == 1) {
                put_line(v, line, sink);
            } else {
                put_spread_line(v, line, sink);
            }
        }
        iy += v->dilation_h;
    }
    v->column++;
    v->ix += v->stride_w;
    if (v->column == v->columns) {
        v->column = 0;
        v->ix = -v->pad_left;
        v->row++;
        v->iy += v->stride_h;
        if (v->row == v->rows) {
            v->row = 0;
            v->iy = -v->pad_top;
            v->image += v->image_bytes;
        }
    }
}

void ek_conv_2d_small_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    walk windows = {
        .image = (const int8_t *)x->data,
        .image_bytes = x->count / x->dims[0],
        .channels = x->dims[3],
        .height = (int32_t)x->dims[1],
        .width = (int32_t)x->dims[2],
        .iy = -ek_param(call, PAD_TOP),
        .ix = -ek_param(call, PAD_LEFT),
        .columns = y->dims[2],
        .rows = y->dims[1],
        .kernel_h = ek_param(call, KERNEL_H),
        .kernel_w = ek_param(call, KERNEL_W),
        .stride_h = ek_param(call, STRIDE_H),
        .stride_w = ek_param(call, STRIDE_W),
        .dilation_h = ek_param(call, DILATION_H),
        .dilation_w = ek_param(call, DILATION_W),
        .pad_top = ek_param(call, PAD_TOP),
        .pad_left = ek_param(call, PAD_LEFT),
        .filler = x->zero_point,
    };
    const ek_small_matmul m = {
        .weights = w->data,
        .requant = call->tensors[2].data,
        .requant_stride = EK_SMALL_ROW,
        .n = y->dims[3],
        .k = w->dims[1],
        .tiled = (uint32_t)ek_param(call, TILED),
        .out = {y->zero_point, ek_param(call, Y_MIN), ek_param(call, Y_MAX)},
        .rounding = ek_param(call, ROUNDING),
        .x = is_pointwise(call) ? (const int8_t *)x->data : NULL,
        .next = next_window,
        .state = &windows,
        .scratch = call->scratch,
    };
    ek_matmul_small(&m, y->count / m.n, (int8_t *)y->write);
}
