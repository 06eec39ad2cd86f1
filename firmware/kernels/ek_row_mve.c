#include "ek_tile_mve.h"

static inline void first(const ek_tile_mve *t, ek_tile_mve_fn tile) {
    ek_tile_mve one = *t;
    one.pixels = 1;
    tile(&one);
}

void ek_row_away_mve(const ek_tile_mve *t) {
    first(t, ek_tile_away_mve);
}

void ek_row_single_mve(const ek_tile_mve *t) {
    first(t, ek_tile_single_mve);
}
