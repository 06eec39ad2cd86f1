#include <arm_mve.h>

#include "ek_batch_column.h"

/* Eight terms at a time; the last ones with the other lanes switched off. */
static int32_t dot(const int8_t *p, const int16_t *q, uint32_t terms) {
    int32_t sum = 0;
    for (uint32_t eights = terms / 8; eights != 0; eights--) {
        sum = vmladavaq_s16(sum, vldrbq_s16(p), vldrhq_s16(q));
        p += 8;
        q += 8;
    }
    const mve_pred16_t lanes = vctp16q(terms % 8);
    return vmladavaq_s16(sum, vldrbq_z_s16(p, lanes), vldrhq_z_s16(q, lanes));
}

static int32_t dot_apart(const int8_t *p, size_t step, const int16_t *q, uint32_t terms) {
    int32_t sum = 0;
    for (; terms != 0; terms--) {
        sum += *p * *q++;
        p += step;
    }
    return sum;
}

void ek_batch_column_s8(const ek_batch_column *column, int8_t *y, size_t y_step) {
    const ek_batch_column t = *column;
    const int8_t *row = t.a;
    for (uint32_t m = t.rows; m != 0; m--) {
        const int32_t sum = t.a_step == 1 ? dot(row, t.column, t.terms)
                                          : dot_apart(row, t.a_step, t.column, t.terms);
        *y = ek_batch_finish(&t, ek_add_wrap(sum, t.offset));
        y += y_step;
        row += t.a_row;
    }
}
