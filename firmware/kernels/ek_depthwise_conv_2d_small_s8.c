/* depthwise_conv_2d with weights packed for small cores: x [N, H, W, C], w [C, KH, KW], requant
 * int32 [C, 3], y [N, OH, OW, C]. Params: those of depthwise_conv_2d. One channel after the other
 * is copied into a plane of bytes, each + 128, with its border, so that y may lie on x: an output
 * only overwrites what its own channel has left. Scratch: weights and sums as int32, the plane.
 * Twin: edgekit/ops/small.py, DEPTHWISE_CONV_2D_SMALL. */
#include "ek_fixed.h"
#include "ek_small.h"

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
    PARAMS
};

/* Sums that are finished together, unless one row has more. */
enum { BAND = 256 };

/* Along one dimension: bytes of the plane, where the image begins in it, how much of it is there.
 */
typedef struct extent {
    uint64_t plane;
    uint32_t start;
    uint32_t inside;
} extent;

static extent extent_of(const ek_call *call, uint32_t axis) {
    const uint32_t size = call->tensors[0].dims[1 + axis];
    const uint64_t reach = (uint64_t)(call->tensors[1].dims[1 + axis] - 1) *
                           (uint32_t)ek_param(call, DILATION_H + axis);
    extent e;
    e.plane = (uint64_t)(call->tensors[3].dims[1 + axis] - 1) *
                  (uint32_t)ek_param(call, STRIDE_H + axis) +
              reach + 1;
    e.start = (uint32_t)ek_param(call, PAD_TOP + axis);
    const uint64_t room = e.plane > e.start ? e.plane - e.start : 0;
    e.inside = room < size ? (uint32_t)room : size;
    return e;
}

static uint32_t band_rows(const ek_tensor *y) {
    const uint32_t rows = y->dims[2] < BAND ? BAND / y->dims[2] : 1;
    return rows < y->dims[1] ? rows : y->dims[1];
}

ek_status ek_depthwise_conv_2d_small_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || w->type != EK_S8 || w->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (x->rank != 4 || w->rank != 3 || y->rank != 4 || w->dims[0] != x->dims[3] ||
        y->dims[3] != x->dims[3] || y->dims[0] != x->dims[0] ||
        w->count / w->dims[0] > EK_MAX_TERMS || x->count > EK_MAX_INDEX ||
        y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 4, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1) ||
        !ek_small_rows_ok(&call->tensors[2], w->dims[0])) {
        return EK_ERR_RANGE;
    }
    const uint64_t lines = extent_of(call, 0).plane;
    const uint64_t line = extent_of(call, 1).plane;
    if (lines > EK_MAX_INDEX || line > EK_MAX_INDEX || lines * line > EK_MAX_INDEX) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes =
        4u * (w->count / w->dims[0]) + 4u * band_rows(y) * y->dims[2] + (uint32_t)(lines * line);
    return EK_OK;
}

/* Copies one channel of an image into the plane. */
static void gather(const int8_t *x, const ek_tensor *t, extent h, extent v, uint8_t *plane) {
    const size_t channels = t->dims[3];
    const size_t line = (size_t)v.plane;
    if (h.inside == 0 || v.inside == 0) {
        return;
    }
    plane += (size_t)h.start * line + v.start;
    for (uint32_t iy = h.inside; iy != 0; iy--) {
        const uint8_t *from = (const uint8_t *)x;
        uint8_t *to = plane;
        uint32_t left = v.inside;
        for (; left >= 4; left -= 4) {
            to[0] = (uint8_t)(from[0] ^ EK_SMALL_FLIP);
            from += channels;
            to[1] = (uint8_t)(from[0] ^ EK_SMALL_FLIP);
            from += channels;
            to[2] = (uint8_t)(from[0] ^ EK_SMALL_FLIP);
            from += channels;
            to[3] = (uint8_t)(from[0] ^ EK_SMALL_FLIP);
            from += channels;
            to += 4;
        }
        for (; left != 0; left--) {
            *to++ = (uint8_t)(*from ^ EK_SMALL_FLIP);
            from += channels;
        }
        x += t->dims[2] * channels;
        plane += line;
    }
}

/* As ek_band_small, for any window. */
static void any_band(const ek_call *call, const ek_small_band *band, const int32_t *w,
                     uint32_t *sums) {
    const ek_tensor *t = &call->tensors[1];
    const size_t down = (size_t)ek_param(call, DILATION_H) * band->line;
    const size_t right = (size_t)ek_param(call, DILATION_W);
    for (uint32_t row = 0; row < band->rows; row++) {
        for (uint32_t column = 0; column < band->columns; column++) {
            const uint8_t *line =
                band->plane + (size_t)row * band->step_h + (size_t)column * band->step_w;
            const int32_t *tap = w;
            uint32_t sum = 0;
            for (uint32_t ky = t->dims[1]; ky != 0; ky--) {
                const uint8_t *p = line;
                for (uint32_t kx = t->dims[2]; kx != 0; kx--) {
                    sum += *p * (uint32_t)*tap++;
                    p += right;
                }
                line += down;
            }
            *sums++ = sum;
        }
    }
}

void ek_depthwise_conv_2d_small_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const uint32_t channels = x->dims[3];
    const uint32_t taps = w->count / channels;
    const extent h = extent_of(call, 0);
    const extent v = extent_of(call, 1);
    const int is_fast = w->dims[1] == 3 && w->dims[2] == 3 && ek_param(call, DILATION_H) == 1 &&
                        ek_param(call, DILATION_W) == 1;
    const uint32_t rows = band_rows(y);
    int32_t *wide = (int32_t *)(void *)call->scratch;
    uint32_t *sums = (uint32_t *)(void *)(wide + taps);
    uint8_t *plane = (uint8_t *)(sums + (size_t)rows * y->dims[2]);
    ek_small_band band = {.line = (uint32_t)v.plane,
                          .step_h = (uint32_t)ek_param(call, STRIDE_H) * (uint32_t)v.plane,
                          .step_w = (uint32_t)ek_param(call, STRIDE_W),
                          .columns = y->dims[2]};
    ek_small_output out = {.row_step = 0,
                           .y_step = channels,
                           .zero_point = y->zero_point,
                           .low = ek_param(call, Y_MIN),
                           .high = ek_param(call, Y_MAX),
                           .single = ek_param(call, ROUNDING) == EK_ROUND_SINGLE};
    const int8_t *image = (const int8_t *)x->data;
    int8_t *pixels = (int8_t *)y->write;
    memset(plane, x->zero_point + 128, (size_t)(h.plane * v.plane));
    for (uint32_t batch = x->dims[0]; batch != 0; batch--) {
        const int8_t *tap = (const int8_t *)w->data;
        out.rows = call->tensors[2].data;
        for (uint32_t c = 0; c < channels; c++) {
            for (uint32_t i = 0; i < taps; i++) {
                wide[i] = *tap++;
            }
            gather(image + c, x, h, v, plane);
            int8_t *to = pixels + c;
            band.plane = plane;
            for (uint32_t left = y->dims[1]; left != 0; left -= band.rows) {
                band.rows = left < rows ? left : rows;
                if (is_fast) {
                    ek_band_small(&band, wide, sums);
                } else {
                    any_band(call, &band, wide, sums);
                }
                ek_finish_small(&out, sums, to, band.rows * band.columns);
                to += (size_t)band.rows * band.columns * channels;
                band.plane += (size_t)band.rows * band.step_h;
            }
            out.rows += EK_SMALL_ROW;
        }
        image += x->count / x->dims[0];
        pixels += y->count / y->dims[0];
    }
}
