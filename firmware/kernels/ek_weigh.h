/* From scores to weights: what ek_attention_s8 and ek_text_attend_s8 share. Twin:
 * edgekit/ops/attention.py, attention */
#ifndef EK_WEIGH_H
#define EK_WEIGH_H

#include "ek_attend_s8.h"

/* Replaces one row's scores by weights, 2^(score - largest score), and returns their sum. */
static inline int32_t ek_weigh(const uint8_t *exp, uint32_t fraction, uint32_t keys,
                               int32_t *scores) {
    int32_t top = INT32_MIN;
    for (uint32_t j = 0; j < keys; j++) {
        const int32_t score = scores[EK_ATTEND_ROWS * j];
        top = score > top ? score : top;
    }
    int32_t total = 0;
    for (uint32_t j = 0; j < keys; j++) {
        uint32_t below = ((uint32_t)top - (uint32_t)*scores) >> fraction;
        below = below > 31u << 8 ? 31u << 8 : below;
        const int32_t twice = ek_get_i32(exp + 4 * (size_t)(below & 255u)) >> (below >> 8);
        const int32_t weight = (twice + 1) >> 1;
        *scores = weight;
        total += weight;
        scores += EK_ATTEND_ROWS;
    }
    return total;
}

/* 2^62 / (total 2^left), where total 2^left is in [2^31, 2^32): one Newton step. */
static inline uint32_t ek_weights_reciprocal(uint32_t total, int32_t *left) {
    *left = 0;
    while (total < 0x80000000u) {
        total <<= 1;
        ++*left;
    }
    const uint64_t guess = (uint64_t)(UINT32_MAX / (total >> 16)) << 14;
    const uint64_t error = (UINT64_C(1) << 32) - (total * guess >> 31);
    const uint64_t better = guess * error >> 31;
    return better > INT32_MAX ? INT32_MAX : (uint32_t)better;
}

/* How a row is finished whose weights sum to total: multiplier and shift as
 * edgekit/ops/attention.py makes them, zero: of the values. */
static inline ek_attend_row ek_attend_row_of(int32_t multiplier, int32_t shift, int32_t zero,
                                             int32_t total) {
    int32_t left = 0;
    const uint64_t inverse = ek_weights_reciprocal((uint32_t)total, &left);
    const ek_attend_row row = {
        (int32_t)((uint64_t)multiplier * inverse >> 31),
        30 - shift - left,
        zero * total,
    };
    return row;
}

#endif
