#include <arm_mve.h>

#include "ek_average.h"

/* Four channels at a time; the last ones with the other lanes switched off. */
void ek_average_s8(const ek_average_window *window, int32_t low, int32_t high, int8_t *y) {
    const ek_average_window v = *window;
    const int32_t count = (int32_t)(v.rows * v.columns);
    for (size_t c = 0; c < v.channels; c += 4) {
        const uint32_t left = (uint32_t)(v.channels - c);
        const mve_pred16_t lanes = vctp32q(left);
        const int8_t *row = v.start + c;
        int32x4_t sums = vdupq_n_s32(0);
        int32_t four[4];
        for (uint32_t r = v.rows; r != 0; r--) {
            const int8_t *p = row;
            for (uint32_t i = v.columns; i != 0; i--) {
                sums = vaddq_s32(sums, vldrbq_z_s32(p, lanes));
                p += v.channels;
            }
            row += v.line;
        }
        vstrwq_s32(four, sums);
        for (uint32_t i = 0; i < 4 && i < left; i++) {
            *y++ = ek_average_of(four[i], count, low, high);
        }
    }
}
