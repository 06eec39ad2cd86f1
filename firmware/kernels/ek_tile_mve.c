#include "ek_tile_mve.h"

typedef int32_t (*scale_fn)(int32_t sum, int32_t multiplier, int32_t shift);

/* One pixel and one record. */
static inline void quad(const ek_tile_mve *t, scale_fn scale, const int8_t *x, const uint8_t *w,
                        int8_t *y) {
    const uint8_t *requant = w + (size_t)EK_MVE_CHANNELS * EK_MVE_TERMS * t->steps;
    for (size_t channel = 0; channel < EK_MVE_CHANNELS; channel++) {
        const int8_t *weights = (const int8_t *)w + channel * EK_MVE_TERMS;
        const uint8_t *constants = requant + 4 * channel;
        int32_t sum = 0;
        for (size_t step = 0; step < t->steps; step++) {
            for (size_t i = 0; i < EK_MVE_TERMS; i++) {
                sum += x[step * EK_MVE_TERMS + i] * weights[i];
            }
            weights += EK_MVE_CHANNELS * EK_MVE_TERMS;
        }
        sum = ek_add_wrap(sum, ek_get_i32(constants));
        sum = scale(sum, ek_get_i32(constants + 16), ek_get_i32(constants + 32));
        y[channel] = ek_mve_output(sum, t->zero_point, t->low, t->high);
    }
}

/* Two pixels, or one, in the order in which vector units write. */
static inline void pixels(const ek_tile_mve *t, scale_fn scale, const int8_t *x, int8_t *y,
                          uint32_t count) {
    const uint8_t *w = t->w;
    for (uint32_t n = t->quads; n != 0; n--) {
        quad(t, scale, x, w, y);
        if (count > 1) {
            quad(t, scale, x + t->x_step, w, y + t->y_step);
        }
        w += ek_mve_record_bytes(t->steps);
        y += EK_MVE_CHANNELS;
    }
}

static inline void tile(const ek_tile_mve *t, scale_fn scale) {
    const int8_t *x = t->x;
    int8_t *y = t->y;
    for (uint32_t left = t->pixels; left != 0;) {
        const uint32_t count = left < 2 ? 1 : 2;
        pixels(t, scale, x, y, count);
        left -= count;
        if (left != 0) {
            x += 2 * t->x_step;
            y += 2 * t->y_step;
        }
    }
}

void ek_tile_double_mve(const ek_tile_mve *t) {
    tile(t, ek_mve_double);
}

void ek_tile_away_mve(const ek_tile_mve *t) {
    tile(t, ek_mve_away);
}

void ek_tile_single_mve(const ek_tile_mve *t) {
    tile(t, ek_mve_single);
}
