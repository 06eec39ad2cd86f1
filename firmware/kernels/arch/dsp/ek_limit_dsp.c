#include "ek_limit_dsp.h"

#include "ek_dsp.h"
#include "ek_fixed.h"

static uint32_t four_times(int32_t byte) {
    return 0x01010101u * (uint32_t)(uint8_t)byte;
}

/* A saturating sum moves a limit to that of int8, the difference moves it back. */
void ek_limit_dsp(int8_t *y, size_t count, int32_t low, int32_t high) {
    if (low < 0 && high >= 0) {
        const uint32_t over = four_times(127 - high);
        const uint32_t under = four_times(low + 128);
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
