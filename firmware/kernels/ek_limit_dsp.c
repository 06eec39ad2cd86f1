#include "ek_limit_dsp.h"

#include "ek_fixed.h"

void ek_limit_dsp(int8_t *y, size_t count, int32_t low, int32_t high) {
    for (size_t i = 0; i < count; i++) {
        y[i] = ek_clamp_s8(y[i], low, high);
    }
}
