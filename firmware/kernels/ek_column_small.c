#include "ek_small.h"

typedef struct quad {
    uint32_t s0;
    uint32_t s1;
    uint32_t s2;
    uint32_t s3;
} quad;

static inline quad add_term(quad s, const uint8_t *w, int8_t x) {
    const uint32_t p = (uint32_t)x;
    s.s0 += p * w[0];
    s.s1 += p * w[1];
    s.s2 += p * w[2];
    s.s3 += p * w[3];
    return s;
}

void ek_column_small(const uint8_t *w, const int8_t *x, uint32_t terms, uint32_t *sums) {
    quad s = {0, 0, 0, 0};
    for (; terms >= 4; terms -= 4) {
        s = add_term(s, w, x[0]);
        s = add_term(s, w + 4, x[1]);
        s = add_term(s, w + 8, x[2]);
        s = add_term(s, w + 12, x[3]);
        x += 4;
        w += 16;
    }
    for (; terms != 0; terms--) {
        s = add_term(s, w, *x++);
        w += 4;
    }
    sums[0] = s.s0;
    sums[1] = s.s1;
    sums[2] = s.s2;
    sums[3] = s.s3;
}
