#include "ek_tile_dsp.h"

#include "ek_lanes_dsp.h"

static void one_pair(const ek_dsp_tile *tile, const uint8_t *stream, int8_t *y) {
    const int clean = tile->form >= EK_FORM_CLEAN_DOUBLE;
    const uint8_t *w = stream + 4 * EK_PAIR_STARTS;
    const int16_t *x = tile->x;
    uint32_t even[EK_TILE_ROWS];
    uint32_t odd[EK_TILE_ROWS];
    for (uint32_t row = 0; row < EK_TILE_ROWS; row++) {
        even[row] = ek_get_u32(stream);
        odd[row] = ek_get_u32(stream + 4);
    }
    for (uint32_t i = tile->terms / 2; i != 0; i--) {
        int32_t a[2];
        int32_t b[2];
        ek_pair_weights(w, clean, a, b);
        for (uint32_t row = 0; row < EK_TILE_ROWS; row++) {
            even[row] += (uint32_t)(x[0] * a[0] + x[1] * a[1]);
            odd[row] += (uint32_t)(x[0] * b[0] + x[1] * b[1]);
            x += 2;
        }
        w += 4;
    }
    for (uint32_t row = 0; row < EK_TILE_ROWS; row++) {
        ek_pair_finish((int32_t)even[row], (int32_t)odd[row], tile->form, w,
                       y + (size_t)row * tile->pitch);
    }
}

void ek_tile_dsp(const ek_dsp_tile *tile) {
    const size_t words = EK_PAIR_STARTS + tile->terms / 2 + EK_PAIR_LANES;
    for (uint32_t pair = 0; pair < tile->pairs; pair++) {
        one_pair(tile, tile->stream + 4 * words * pair, tile->y + 2 * (size_t)pair);
    }
}

int16_t *ek_expand_dsp(const int8_t *const rows[EK_TILE_ROWS], uint32_t words, int16_t *to,
                       uint32_t runs, size_t step) {
    for (uint32_t run = 0; run < runs; run++) {
        for (uint32_t i = 0; i < words; i++) {
            for (uint32_t row = 0; row < EK_TILE_ROWS; row++) {
                const int8_t *p = rows[row] + run * step + 4 * (size_t)i;
                int16_t *lane = to + 2 * (size_t)row;
                lane[0] = p[0];
                lane[1] = p[2];
                lane[8] = p[1];
                lane[9] = p[3];
            }
            to += 16;
        }
    }
    return to;
}
