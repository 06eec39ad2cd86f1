#include "ek_fixed.h"
#include "ek_small.h"

/* Where the output has its zero point as lower limit, sums up to 0 are cut off at once. The product
 * with twice the sum has what is wanted in its high word. */
void ek_finish_small(const ek_small_output *out, const uint32_t *sums, int8_t *y, uint32_t count) {
    const int32_t floor = out->low >= out->zero_point ? 0 : INT32_MIN;
    const uint8_t *row = out->rows;
    for (; count != 0; count--) {
        const uint32_t sum = *sums++ + (uint32_t)out->offset + (uint32_t)ek_get_i32(row);
        int32_t value = out->low;
        if ((int32_t)sum > floor) {
            const uint32_t shift = ~(uint32_t)ek_get_i32(row + 8) & 31u;
            const int64_t product = (int64_t)(int32_t)(sum * 2u) * ek_get_i32(row + 4);
            int32_t high = (int32_t)(product >> 32);
            if (out->single == 0) {
                high += (int32_t)((uint32_t)product >> 31);
                high += high >> 31;
            }
            value = ((high >> shift) + 1) >> 1;
            value = ek_clamp_s8(value + out->zero_point, out->low, out->high);
        }
        *y = (int8_t)value;
        y += out->y_step;
        row += out->row_step;
    }
}
