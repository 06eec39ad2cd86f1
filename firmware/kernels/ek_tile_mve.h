/* Products of int8 pixels with packed weights, four channels at a time, as cores with MVE multiply.
 *
 * Weights are records of four output channels: for every 16 terms 16 bytes of each channel, then
 * four biases, four multipliers and four shifts, int32. Terms are padded with zero weights, so what
 * lies behind the terms of a pixel does not count, yet it is read. */
#ifndef EK_TILE_MVE_H
#define EK_TILE_MVE_H

#include "ek_fixed.h"
#include "ek_kernel.h"

enum { EK_MVE_TERMS = 16, EK_MVE_CHANNELS = 4, EK_MVE_REQUANT_BYTES = 48 };

/* The order of the fields is known to arch/mve/ek_tile_mve.S and ek_row_mve.S. */
typedef struct ek_tile_mve {
    const int8_t *x;  /* pixels, 16 * steps bytes of each are read */
    size_t x_step;    /* bytes from a pixel to the next */
    const uint8_t *w; /* records, aligned to 4 */
    int8_t *y;        /* 4 * quads bytes of each pixel are written, in rising order */
    size_t y_step;
    uint32_t pixels; /* 1 .. */
    uint32_t quads;  /* records, 1 .. */
    uint32_t steps;  /* of 16 terms, 1 .. */
    int32_t zero_point;
    int32_t low;
    int32_t high;
} ek_tile_mve;

typedef void (*ek_tile_mve_fn)(const ek_tile_mve *tile);

/* Any number of pixels, two at a time. Sums are rounded twice; ties at the second rounding go up
 * (`double`: right where the output is clamped at its zero point) or away from zero (`away`), or
 * are rounded once (`single`). Reads of two pixels come before and between writes of the two. */
void ek_tile_double_mve(const ek_tile_mve *tile);
void ek_tile_away_mve(const ek_tile_mve *tile);
void ek_tile_single_mve(const ek_tile_mve *tile);

/* The same for the first pixel only. */
void ek_row_away_mve(const ek_tile_mve *tile);
void ek_row_single_mve(const ek_tile_mve *tile);

static inline uint32_t ek_mve_steps(uint32_t terms) {
    return (terms + EK_MVE_TERMS - 1) / EK_MVE_TERMS;
}

/* Copies rows (1 ..) of row_bytes (1 ..) bytes. */
void ek_patch_mve(int8_t *to, size_t to_step, const int8_t *from, size_t from_step,
                  size_t row_bytes, uint32_t rows);

void ek_fill_mve(int8_t *to, int32_t value, size_t count);

/* All outputs of tile->pixels pixels; quads is not used. Channels beyond a multiple of 4 go by way
 * of a buffer. */
void ek_layer_mve(const ek_tile_mve *tile, ek_tile_mve_fn fn, uint32_t outputs);

/* The same for pixels that lie one behind the other, as [pixels, terms]; the last ones, where whole
 * steps would reach behind them, are copied to scratch first. */
void ek_pointwise_mve(const ek_tile_mve *tile, ek_tile_mve_fn fn, uint32_t terms, uint32_t outputs,
                      uint8_t *scratch);

/* Scratch and lead of ek_pointwise_mve. Twin: edgekit/ops/mve.py, pointwise_need. */
void ek_pointwise_mve_need(uint32_t pixels, uint32_t terms, uint32_t outputs, ek_need *need);

/* Bytes of one record. */
static inline uint32_t ek_mve_record_bytes(uint32_t steps) {
    return EK_MVE_CHANNELS * EK_MVE_TERMS * steps + EK_MVE_REQUANT_BYTES;
}

/* How the vector units scale a sum; each exact for the shifts that ek_mve_records_ok allows. */
static inline int32_t ek_mve_double(int32_t sum, int32_t multiplier, int32_t shift) {
    const int64_t high = ek_high_mul(sum, multiplier);
    return (int32_t)((high + ((INT64_C(1) << -shift) >> 1)) >> -shift);
}

static inline int32_t ek_mve_away(int32_t sum, int32_t multiplier, int32_t shift) {
    int64_t high = ek_high_mul(sum, multiplier);
    high += high < 0 ? -1 : 0;
    high = high < INT32_MIN ? INT32_MIN : high;
    return (int32_t)((high + ((INT64_C(1) << -shift) >> 1)) >> -shift);
}

static inline int32_t ek_mve_single(int32_t sum, int32_t multiplier, int32_t shift) {
    const int64_t high = ((int64_t)sum * multiplier) >> 31;
    return (int32_t)((high + ((INT64_C(1) << -shift) >> 1)) >> -shift);
}

static inline int8_t ek_mve_output(int32_t value, int32_t zero_point, int32_t low, int32_t high) {
    value = value < INT16_MIN ? INT16_MIN : value;
    value = value > INT16_MAX ? INT16_MAX : value;
    return ek_clamp_s8(value + zero_point, low, high);
}

/* True if w is constant int8 [quads, bytes] whose last 48 bytes of each record hold multipliers
 * from 0 and shifts in -31 .. 0. */
static inline int ek_mve_records_ok(const ek_tensor *w, uint32_t quads, uint32_t bytes) {
    if (w->type != EK_S8 || w->constant == 0 || w->rank != 2 || w->dims[0] != quads ||
        w->dims[1] != bytes) {
        return 0;
    }
    for (uint32_t quad = 0; quad < quads; quad++) {
        const uint8_t *requant = w->data + (size_t)(quad + 1) * bytes - EK_MVE_REQUANT_BYTES;
        for (uint32_t i = 0; i < EK_MVE_CHANNELS; i++) {
            const int32_t shift = ek_get_i32(requant + 32 + 4 * (size_t)i);
            if (ek_get_i32(requant + 16 + 4 * (size_t)i) < 0 || shift < -31 || shift > 0) {
                return 0;
            }
        }
    }
    return 1;
}

#endif
