#include "ek_tile_mve.h"

/* The last outputs % 4 channels of one or two pixels. */
static void rest_of(const ek_tile_mve *t, ek_tile_mve_fn fn, uint32_t outputs) {
    int8_t last[2 * EK_MVE_CHANNELS];
    ek_tile_mve part = *t;
    const uint32_t quads = outputs / EK_MVE_CHANNELS;
    int8_t *y = t->y + (size_t)quads * EK_MVE_CHANNELS;
    part.w += (size_t)quads * ek_mve_record_bytes(t->steps);
    part.quads = 1;
    part.y = last;
    part.y_step = EK_MVE_CHANNELS;
    fn(&part);
    for (uint32_t i = 0; i < t->pixels; i++) {
        ek_copy_bytes(y, last + (size_t)i * EK_MVE_CHANNELS, outputs % EK_MVE_CHANNELS);
        y += t->y_step;
    }
}

void ek_layer_mve(const ek_tile_mve *t, ek_tile_mve_fn fn, uint32_t outputs) {
    ek_tile_mve part = *t;
    part.quads = outputs / EK_MVE_CHANNELS;
    if (outputs % EK_MVE_CHANNELS == 0) {
        fn(&part);
        return;
    }
    for (uint32_t left = t->pixels; left != 0; left -= part.pixels) {
        part.pixels = left < 2 ? left : 2;
        if (part.quads != 0) {
            fn(&part);
        }
        rest_of(&part, fn, outputs);
        part.x += part.pixels * t->x_step;
        part.y += part.pixels * t->y_step;
    }
}

/* How many pixels can be read in whole steps: all, or an even number. */
static uint32_t direct_pixels(uint32_t pixels, uint32_t terms) {
    const uint32_t behind = (EK_MVE_TERMS * ek_mve_steps(terms) - 1) / terms;
    return behind == 0 ? pixels : behind > pixels ? 0 : (pixels - behind) & ~1u;
}

void ek_pointwise_mve(const ek_tile_mve *t, ek_tile_mve_fn fn, uint32_t terms, uint32_t outputs,
                      uint8_t *scratch) {
    ek_tile_mve part = *t;
    int8_t *copy = (int8_t *)scratch;
    part.pixels = direct_pixels(t->pixels, terms);
    if (part.pixels != 0) {
        ek_layer_mve(&part, fn, outputs);
    }
    const int8_t *x = t->x + (size_t)part.pixels * terms;
    part.y += (size_t)part.pixels * outputs;
    part.x = copy;
    part.x_step = (size_t)EK_MVE_TERMS * t->steps;
    for (uint32_t left = t->pixels - part.pixels; left != 0; left -= part.pixels) {
        part.pixels = left < 2 ? left : 2;
        ek_patch_mve(copy, part.x_step, x, terms, terms, part.pixels);
        x += (size_t)part.pixels * terms;
        ek_layer_mve(&part, fn, outputs);
        part.y += (size_t)part.pixels * outputs;
    }
}

void ek_pointwise_mve_need(uint32_t pixels, uint32_t terms, uint32_t outputs, ek_need *need) {
    if (terms % EK_MVE_TERMS != 0) {
        need->scratch_bytes = (pixels < 2 ? 1u : 2u) * EK_MVE_TERMS * ek_mve_steps(terms);
    }
    /* While two pixels are read they are written; the first two, the last two, the last one. */
    const int64_t begins[3] = {0, (int64_t)(pixels & ~1u) - 2, (int64_t)pixels - 1};
    int64_t lead = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if (begins[i] >= 0 && begins[i] % 2 == 0) {
            const int64_t end = begins[i] + 2 < pixels ? begins[i] + 2 : pixels;
            const int64_t needed = end * outputs - begins[i] * terms;
            lead = needed > lead ? needed : lead;
        }
    }
    need->lead = (uint32_t)lead;
}
