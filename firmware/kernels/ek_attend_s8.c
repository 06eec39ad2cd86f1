/* The products inside attention, in plain C. */
#include "ek_attend_s8.h"

void ek_attend_expand(const int8_t *q, size_t stride, uint32_t rows, uint32_t depth, int32_t zero,
                      int16_t *lanes) {
    for (uint32_t row = 0; row < EK_ATTEND_ROWS; row++) {
        for (uint32_t d = 0; d < depth; d++) {
            lanes[EK_ATTEND_ROWS * d + row] = (int16_t)(row < rows ? q[d] - zero : 0);
        }
        q += row + 1 < rows ? stride : 0;
    }
}

void ek_attend_scores(const int16_t *lanes, const int8_t *k, size_t stride, uint32_t keys,
                      uint32_t depth, int32_t *scores) {
    for (; keys != 0; keys--) {
        const int16_t *q = lanes;
        const int8_t *end = k + depth;
        int32_t a = 0;
        int32_t b = 0;
        int32_t c = 0;
        int32_t d = 0;
        for (const int8_t *p = k; p != end; p++) {
            const int32_t value = *p;
            a += q[0] * value;
            b += q[1] * value;
            c += q[2] * value;
            d += q[3] * value;
            q += EK_ATTEND_ROWS;
        }
        scores[0] = a;
        scores[1] = b;
        scores[2] = c;
        scores[3] = d;
        scores += EK_ATTEND_ROWS;
        k += keys == 1 ? 0 : stride;
    }
}

void ek_attend_mix(const ek_attend *a) {
    for (uint32_t d = 0; d < a->width; d++) {
        const int32_t *weights = a->weights;
        const int8_t *v = a->v + d;
        int32_t sums[EK_ATTEND_ROWS] = {0};
        for (uint32_t key = 0; key < a->keys; key++) {
            const int32_t value = v[key * a->v_stride];
            sums[0] += weights[0] * value;
            sums[1] += weights[1] * value;
            sums[2] += weights[2] * value;
            sums[3] += weights[3] * value;
            weights += EK_ATTEND_ROWS;
        }
        ek_attend_finish(a, d, 1, sums);
    }
}
