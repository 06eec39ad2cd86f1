/* x [N, H, W, C], rows int32 [OH, 3], columns int32 [OW, 3], both constant: the two elements
 * between which an output lies, and its distance from the first in units of 1 / 1,024, -1,024 ..
 * 2,048; y [N, OH, OW, C] with the scale of x. Params: none. Scratch: none. Source:
 * tensorflow/lite/kernels/internal/reference/resize_bilinear.h, ResizeBilinearInteger. Twin:
 * edgekit/ops/resize.py, RESIZE_BILINEAR. */
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { ONE = 1024, HALF_OF_SQUARE = 1 << 19, SQUARE = 1 << 20 };

static int is_table(const ek_tensor *table, uint32_t outputs, uint32_t size) {
    if (table->type != EK_S32 || table->constant == 0 || table->rank != 2 ||
        table->dims[0] != outputs || table->dims[1] != 3) {
        return 0;
    }
    for (uint32_t i = 0; i < outputs; i++) {
        const uint8_t *entry = table->data + 12 * (size_t)i;
        const int32_t weight = ek_get_i32(entry + 8);
        if (ek_get_u32(entry) >= size || ek_get_u32(entry + 4) >= size || weight < -ONE ||
            weight > 2 * ONE) {
            return 0;
        }
    }
    return 1;
}

ek_status ek_resize_bilinear_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, 0) || x->rank != 4 || y->rank != 4 || x->dims[0] != y->dims[0] ||
        x->dims[3] != y->dims[3]) {
        return EK_ERR_SHAPE;
    }
    if (!is_table(&call->tensors[1], y->dims[1], x->dims[1]) ||
        !is_table(&call->tensors[2], y->dims[2], x->dims[2])) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

/* One output pixel between four of x: p[row][column], each with its weight. */
static void pixel(const int8_t *const p[4], const int32_t weights[4], size_t channels, int8_t *y) {
    for (size_t c = 0; c < channels; c++) {
        int32_t sum = p[0][c] * weights[0] + p[1][c] * weights[1] + p[2][c] * weights[2] +
                      p[3][c] * weights[3];
        sum += sum > 0 ? HALF_OF_SQUARE : -HALF_OF_SQUARE;
        y[c] = ek_clamp_s8(sum / SQUARE, -128, 127);
    }
}

void ek_resize_bilinear_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[3];
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const int8_t *image = (const int8_t *)x->data;
    int8_t *out = (int8_t *)y->write;
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        const uint8_t *row = call->tensors[1].data;
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            const int8_t *upper = image + line * ek_get_u32(row);
            const int8_t *lower = image + line * ek_get_u32(row + 4);
            const int32_t down = ek_get_i32(row + 8);
            const uint8_t *column = call->tensors[2].data;
            for (uint32_t ox = 0; ox < y->dims[2]; ox++) {
                const size_t left = channels * ek_get_u32(column);
                const size_t right = channels * ek_get_u32(column + 4);
                const int32_t along = ek_get_i32(column + 8);
                const int8_t *const p[4] = {upper + left, upper + right, lower + left,
                                            lower + right};
                const int32_t weights[4] = {(ONE - down) * (ONE - along), (ONE - down) * along,
                                            down * (ONE - along), down * along};
                pixel(p, weights, channels, out);
                out += channels;
                column += 12;
            }
            row += 12;
        }
        image += x->count / x->dims[0];
    }
}
