/* ek_finish_small for cores that trap on words at odd addresses: rows are read as the words that
 * they are, since they lie at multiples of 4. */
#include "ek_fixed.h"
#include "ek_small.h"

typedef int32_t __attribute__((may_alias)) word;

void ek_finish_small(const ek_small_output *out, const uint32_t *sums, int8_t *y, uint32_t count) {
    const int32_t zero_point = out->zero_point;
    const int32_t low = out->low;
    const int32_t high = out->high;
    const int32_t floor = low >= zero_point ? 0 : INT32_MIN;
    const uint32_t offset = (uint32_t)out->offset;
    const uint32_t single = out->single;
    const size_t row_step = out->row_step;
    const size_t y_step = out->y_step;
    const uint8_t *at = out->rows;
    for (const uint32_t *end = sums + count; sums != end; sums++) {
        const word *row = (const word *)(const void *)at;
        const uint32_t sum = *sums + offset + (uint32_t)row[0];
        int32_t value = low;
        if ((int32_t)sum > floor) {
            const uint32_t shift = ~(uint32_t)row[2] & 31u;
            const int64_t product = (int64_t)(int32_t)(sum * 2u) * row[1];
            int32_t scaled = (int32_t)(product >> 32);
            if (single == 0) {
                scaled += (int32_t)((uint32_t)product >> 31);
                scaled += scaled >> 31;
            }
            value = ((scaled >> shift) + 1) >> 1;
            value = ek_clamp_s8(value + zero_point, low, high);
        }
        *y = (int8_t)value;
        y += y_step;
        at += row_step;
    }
}
