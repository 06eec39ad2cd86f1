/* The products inside attention with two multiplications per instruction. Lanes: for each four
 * values of the queries, row after row, two words: values 0 and 2, values 1 and 3. Weights are
 * packed in pairs of keys. */
#include "ek_attend_s8.h"

#include "ek_dsp.h"

static uint32_t subtract_lanes(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("ssub16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* The low halves of a and b, that of b above. */
static uint32_t pair(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

void ek_attend_expand(const int8_t *q, size_t stride, uint32_t rows, uint32_t depth, int32_t zero,
                      int16_t *lanes) {
    const uint32_t zeros = pair((uint32_t)zero, (uint32_t)zero);
    for (uint32_t row = 0; row < EK_ATTEND_ROWS; row++) {
        uint32_t *to = (uint32_t *)(void *)lanes + (size_t)2 * row;
        for (uint32_t d = 0; d < depth; d += 4) {
            if (row >= rows) {
                to[0] = 0;
                to[1] = 0;
            } else {
                const uint32_t rest = depth - d;
                const uint32_t word = rest < 4 ? ek_load_s8_tail(q + d, rest) : ek_load_s8x4(q + d);
                to[0] = subtract_lanes(ek_even_s16(word), zeros);
                to[1] = subtract_lanes(ek_odd_s16(word), zeros);
            }
            to += (size_t)2 * EK_ATTEND_ROWS;
        }
        q += row + 1 < rows ? stride : 0;
    }
}

void ek_attend_scores(const int16_t *lanes, const int8_t *k, size_t stride, uint32_t keys,
                      uint32_t depth, int32_t *scores) {
    const uint32_t tail = depth & 3u;
    for (uint32_t key = 0; key < keys; key++) {
        const uint32_t *q = (const uint32_t *)(const void *)lanes;
        const int8_t *p = k + key * stride;
        int32_t a = 0;
        int32_t b = 0;
        int32_t c = 0;
        int32_t d = 0;
        for (uint32_t rest = depth; rest != 0;) {
            /* Lanes beyond the depth hold what they may: the key has zeros there. */
            const uint32_t word = rest == tail ? ek_load_s8_tail(p, tail) : ek_load_s8x4(p);
            const uint32_t even = ek_even_s16(word);
            const uint32_t odd = ek_odd_s16(word);
            a = ek_multiply_lanes(q[1], odd, ek_multiply_lanes(q[0], even, a));
            b = ek_multiply_lanes(q[3], odd, ek_multiply_lanes(q[2], even, b));
            c = ek_multiply_lanes(q[5], odd, ek_multiply_lanes(q[4], even, c));
            d = ek_multiply_lanes(q[7], odd, ek_multiply_lanes(q[6], even, d));
            q += (size_t)2 * EK_ATTEND_ROWS;
            p += rest == tail ? 0 : 4;
            rest -= rest == tail ? tail : 4;
        }
        scores[0] = a;
        scores[1] = b;
        scores[2] = c;
        scores[3] = d;
        scores += EK_ATTEND_ROWS;
    }
}

/* Packs the weights of two keys each; of an odd last one with 0. */
static void pack(int32_t *weights, uint32_t keys) {
    int32_t *to = weights;
    for (uint32_t key = 0; key < keys; key += 2) {
        for (uint32_t row = 0; row < EK_ATTEND_ROWS; row++) {
            const uint32_t next = key + 1 < keys ? (uint32_t)weights[EK_ATTEND_ROWS + row] : 0;
            to[row] = (int32_t)pair((uint32_t)weights[row], next);
        }
        weights += (size_t)2 * EK_ATTEND_ROWS;
        to += EK_ATTEND_ROWS;
    }
}

/* Sums of columns d and d + 1, [2, 4]. */
static void mix_two(const ek_attend *a, uint32_t d, int32_t *sums) {
    const uint32_t *weights = (const uint32_t *)(const void *)a->weights;
    const int8_t *v = a->v + d;
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    int32_t t0 = 0;
    int32_t t1 = 0;
    int32_t t2 = 0;
    int32_t t3 = 0;
    for (uint32_t key = 0; key < a->keys; key += 2) {
        uint16_t first;
        uint16_t second = 0;
        memcpy(&first, v, sizeof first);
        if (key + 1 < a->keys) {
            v += a->v_stride;
            memcpy(&second, v, sizeof second);
            v += key + 2 < a->keys ? a->v_stride : 0;
        }
        const uint32_t both = pair(first, second);
        const uint32_t left = ek_even_s16(both);
        const uint32_t right = ek_odd_s16(both);
        s0 = ek_multiply_lanes(weights[0], left, s0);
        t0 = ek_multiply_lanes(weights[0], right, t0);
        s1 = ek_multiply_lanes(weights[1], left, s1);
        t1 = ek_multiply_lanes(weights[1], right, t1);
        s2 = ek_multiply_lanes(weights[2], left, s2);
        t2 = ek_multiply_lanes(weights[2], right, t2);
        s3 = ek_multiply_lanes(weights[3], left, s3);
        t3 = ek_multiply_lanes(weights[3], right, t3);
        weights += EK_ATTEND_ROWS;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    sums[4] = t0;
    sums[5] = t1;
    sums[6] = t2;
    sums[7] = t3;
}

/* Sums of the last of an odd number of columns, [4]. */
static void mix_one(const ek_attend *a, uint32_t d, int32_t *sums) {
    const uint32_t *weights = (const uint32_t *)(const void *)a->weights;
    const int8_t *v = a->v + d;
    for (uint32_t row = 0; row < EK_ATTEND_ROWS; row++) {
        sums[row] = 0;
        for (uint32_t key = 0; key < a->keys; key += 2) {
            const int32_t next = key + 1 < a->keys ? v[(key + 1) * a->v_stride] : 0;
            const uint32_t both = pair((uint32_t)v[key * a->v_stride], (uint32_t)next);
            sums[row] = ek_multiply_lanes(weights[2 * key + row], both, sums[row]);
        }
    }
}

enum { COLUMNS = 8 };

void ek_attend_mix(const ek_attend *a) {
    int32_t sums[COLUMNS * EK_ATTEND_ROWS];
    pack(a->weights, a->keys);
    for (uint32_t d = 0; d < a->width; d += COLUMNS) {
        const uint32_t columns = a->width - d < COLUMNS ? a->width - d : COLUMNS;
        for (uint32_t c = 0; c + 1 < columns; c += 2) {
            mix_two(a, d + c, sums + (size_t)EK_ATTEND_ROWS * c);
        }
        if ((columns & 1u) != 0) {
            mix_one(a, d + columns - 1, sums + (size_t)EK_ATTEND_ROWS * (columns - 1));
        }
        ek_attend_finish(a, d, columns, sums);
    }
}
