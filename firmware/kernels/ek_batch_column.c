#include "ek_batch_column.h"

void ek_batch_column_s8(const ek_batch_column *column, int8_t *y, size_t y_step) {
    const ek_batch_column t = *column;
    const int8_t *row = t.a;
    for (uint32_t m = t.rows; m != 0; m--) {
        const int8_t *p = row;
        const int16_t *q = t.column;
        int32_t sum = t.offset;
        for (uint32_t k = t.terms; k != 0; k--) {
            sum += *p * *q++;
            p += t.a_step;
        }
        *y = ek_batch_finish(&t, sum);
        y += y_step;
        row += t.a_row;
    }
}
