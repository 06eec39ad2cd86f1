/* Rows of int8 times a vector of int16 with two multiplications per instruction. */
#include "ek_vector.h"

#include "ek_dsp.h"

/* Values 0 and 2 of four int16, and values 1 and 3. */
static uint32_t even_of(uint32_t low, uint32_t high) {
    uint32_t lanes;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(lanes) : "r"(low), "r"(high));
    return lanes;
}

static uint32_t odd_of(uint32_t low, uint32_t high) {
    uint32_t lanes;
    __asm__("pkhtb %0, %2, %1, asr #16" : "=r"(lanes) : "r"(low), "r"(high));
    return lanes;
}

static int32_t four(uint32_t even, uint32_t odd, const int8_t *w, int32_t sum) {
    const uint32_t word = ek_load_s8x4(w);
    sum = ek_multiply_lanes(even, ek_even_s16(word), sum);
    return ek_multiply_lanes(odd, ek_odd_s16(word), sum);
}

void ek_vector_times_rows(const int16_t *x, const int8_t *w, size_t terms, size_t rows,
                          int32_t *sums) {
    /* Rows that are missing repeat the last. */
    const int8_t *w1 = w + (rows > 1 ? terms : 0);
    const int8_t *w2 = w1 + (rows > 2 ? terms : 0);
    const int8_t *w3 = w2 + (rows > 3 ? terms : 0);
    int32_t a = 0;
    int32_t b = 0;
    int32_t c = 0;
    int32_t d = 0;
    for (size_t rest = terms / 4; rest != 0; rest--) {
        uint32_t words[2];
        memcpy(words, x, sizeof words);
        const uint32_t even = even_of(words[0], words[1]);
        const uint32_t odd = odd_of(words[0], words[1]);
        a = four(even, odd, w, a);
        b = four(even, odd, w1, b);
        c = four(even, odd, w2, c);
        d = four(even, odd, w3, d);
        x += 4;
        w += 4;
        w1 += 4;
        w2 += 4;
        w3 += 4;
    }
    for (size_t rest = terms % 4; rest != 0; rest--) {
        a += *x * *w++;
        b += *x * *w1++;
        c += *x * *w2++;
        d += *x * *w3++;
        x++;
    }
    const int32_t all[EK_VECTOR_ROWS] = {a, b, c, d};
    memcpy(sums, all, rows * sizeof *sums);
}
