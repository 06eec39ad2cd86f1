#include "ek_add_row.h"

void ek_add_row_s8(const ek_add_row *row, const int8_t *a, const int8_t *b, int8_t *y,
                   uint32_t count) {
    const ek_add_row p = *row;
    for (; count != 0; count--) {
        *y++ = ek_add_one(&p, *a, *b);
        a += p.a_step;
        b += p.b_step;
    }
}
