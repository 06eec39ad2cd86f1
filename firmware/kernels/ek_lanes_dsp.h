/* What SMMLA, SMMLAR, ASR and SSAT do with a sum, in portable C. */
#ifndef EK_LANES_DSP_H
#define EK_LANES_DSP_H

#include "ek_fixed.h"
#include "ek_tile_dsp.h"

/* The high word of a * b, plus the addend; rounds: half a unit more before it is cut. */
static inline int32_t ek_high_word(int32_t a, int32_t b, int32_t addend, int rounds) {
    const int64_t product = (int64_t)a * b + (rounds ? INT64_C(1) << 31 : 0);
    return ek_add_wrap((int32_t)(product >> 32), addend);
}

/* Twice a sum, rounded twice. lane: multiplier, addend, shift. */
static inline int8_t ek_lane_double(int32_t twice, const uint8_t *lane, int floors) {
    int32_t value = ek_high_word(twice, ek_get_i32(lane), ek_get_i32(lane + 4), 1);
    if (!floors) {
        value = ek_add_wrap(value, twice >> 31);
    }
    return ek_clamp_s8(value >> (ek_get_i32(lane + 8) & 31), -128, 127);
}

/* A sum rounded once, or 256 times a sum rounded once or floored. */
static inline int8_t ek_lane_single(int32_t sum, const uint8_t *lane) {
    const int32_t value = ek_high_word(sum, ek_get_i32(lane), ek_get_i32(lane + 4), 0);
    return ek_clamp_s8(value >> (ek_get_i32(lane + 8) & 31), -128, 127);
}

/* The two outputs of a pair of sums; lanes: of either column. */
static inline void ek_pair_finish(int32_t even, int32_t odd, uint32_t form, const uint8_t *lanes,
                                  int8_t y[2]) {
    const int clean = form >= EK_FORM_CLEAN_DOUBLE;
    const uint8_t *second = lanes + 12;
    const int32_t apart = clean ? odd : (int32_t)((uint32_t)odd - (uint32_t)even);
    if (form == EK_FORM_SINGLE || form == EK_FORM_CLEAN_SINGLE) {
        y[0] = ek_lane_single(even, lanes);
        y[1] = ek_lane_single(apart, second);
        return;
    }
    const int floors = form == EK_FORM_FLOOR;
    y[0] = ek_lane_double((int32_t)((uint32_t)even * 2u), lanes, floors);
    if (floors) {
        y[1] = ek_lane_single(apart, second);
    } else {
        y[1] = ek_lane_double(clean ? (int32_t)((uint32_t)odd * 2u) : apart >> 7, second, 0);
    }
}

/* The weights of a word's four lanes: term k of both columns, then term k + 2. */
static inline void ek_pair_weights(const uint8_t *word, int clean, int32_t even[2],
                                   int32_t odd[2]) {
    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *lane = word + 2 * (size_t)i;
        even[i] = (int8_t)lane[0];
        odd[i] = clean ? (int8_t)lane[1] : (int16_t)(lane[0] | (uint32_t)lane[1] << 8);
    }
}

#endif
