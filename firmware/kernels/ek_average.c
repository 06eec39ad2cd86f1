#include "ek_average.h"

void ek_average_s8(const ek_average_window *window, int32_t low, int32_t high, int8_t *y) {
    const ek_average_window v = *window;
    const int32_t count = (int32_t)(v.rows * v.columns);
    for (size_t c = 0; c < v.channels; c++) {
        const int8_t *row = v.start + c;
        int32_t sum = 0;
        for (uint32_t r = v.rows; r != 0; r--) {
            const int8_t *p = row;
            for (uint32_t i = v.columns; i != 0; i--) {
                sum += *p;
                p += v.channels;
            }
            row += v.line;
        }
        *y++ = ek_average_of(sum, count, low, high);
    }
}
