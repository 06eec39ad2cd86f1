/* Finishing sums by SMMLA and SMMLAR: constants per output channel, and when they are exact. */
#ifndef EK_LANE_H
#define EK_LANE_H

#include <stddef.h>

#include "ek_dsp.h"
#include "ek_fixed.h"

/* How the sums of one column become int8: sums are doubled, so that the high word of the product
 * with the multiplier is what SMMLA and SMMLAR give. Source: the identity
 * round(a * m / 2^31) = high(2 * a * m + 2^31); addend = 2^(shift - 1) + (zero point << shift). */
typedef struct ek_lane {
    int32_t multiplier;
    int32_t addend;
    int32_t shift; /* 1 .. 22 */
} ek_lane;

enum { EK_LANE_MAX_SHIFT = 22 };

/* Sets a lane; false if the shift does not fit. */
static inline int ek_lane_set(ek_lane *lane, int32_t multiplier, int32_t shift,
                              int32_t zero_point) {
    if (shift > -1 || shift < -EK_LANE_MAX_SHIFT) {
        return 0;
    }
    lane->multiplier = multiplier;
    lane->addend = (1 << (-shift - 1)) + zero_point * (1 << -shift);
    lane->shift = -shift;
    return 1;
}

/* True if bias and any sum of `terms` products stay below 2^30; terms: at most 65,535. */
static inline int ek_sum_fits(int32_t bias, uint32_t terms) {
    const int32_t room = (1 << 30) - (int32_t)(terms << 14);
    return bias < room && bias > -room;
}

static inline uint32_t ek_four_times(int32_t byte) {
    return 0x01010101u * (uint32_t)(uint8_t)byte;
}

/* Limits count int8 to [low, high]. A saturating sum moves a limit to that of int8, the difference
 * moves it back. */
static inline void ek_limit_s8(int8_t *y, size_t count, int32_t low, int32_t high) {
    if (low < 0 && high >= 0) {
        const uint32_t over = ek_four_times(127 - high);
        const uint32_t under = ek_four_times(low + 128);
        for (; count >= 4; count -= 4) {
            uint32_t word = ek_load_s8x4(y);
            word = ek_subtract_s8x4(ek_add_s8x4(word, over), over);
            word = ek_add_s8x4(ek_subtract_s8x4(word, under), under);
            memcpy(y, &word, sizeof word);
            y += 4;
        }
    }
    for (; count != 0; count--) {
        *y = ek_clamp_s8(*y, low, high);
        y++;
    }
}

#endif
