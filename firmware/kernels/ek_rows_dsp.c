#include "ek_rows_dsp.h"

#include "ek_lanes_dsp.h"

void ek_gather_planes_dsp(const ek_dsp_gather *gather) {
    for (uint32_t row = 0; row < gather->rows; row++) {
        const int8_t *x = gather->x + row * gather->row;
        int16_t *to = gather->to + row * gather->pitch / 2;
        for (uint32_t i = 0; i < gather->width; i++) {
            for (uint32_t c = 0; c < EK_PLANES; c++) {
                to[c * gather->plane / 2] = x[c];
            }
            x += gather->column;
            to++;
        }
    }
}

void ek_convolve_rows_dsp(const ek_dsp_rows *rows) {
    const uint32_t stride = rows->kind / 2 + 1;
    const int floors = rows->kind % 2 == EK_FORM_FLOOR;
    const uint8_t *w = rows->stream;
    const uint8_t *end = w + 4 * EK_PLANE_TAPS;
    const size_t pitch = rows->pitch / 2;
    for (uint32_t oy = 0; oy < rows->rows; oy++) {
        const int16_t *p = rows->plane + oy * stride * pitch;
        int8_t *y = rows->y + oy * rows->row;
        for (uint32_t ox = 0; ox < rows->width; ox++) {
            uint32_t sum = ek_get_u32(end);
            for (uint32_t ky = 0; ky < EK_PLANE_TAPS; ky++) {
                const int16_t *q = p + ky * pitch;
                const uint8_t *taps = w + 4 * (size_t)ky;
                sum += 2u * (uint32_t)(q[0] * (int8_t)taps[0] + q[1] * (int8_t)taps[1] +
                                       q[2] * (int8_t)taps[3]);
            }
            *y = ek_lane_double((int32_t)sum, end + 4, floors);
            y += rows->column;
            p += stride;
        }
    }
}
