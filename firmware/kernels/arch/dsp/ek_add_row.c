/* A row of ADD with the DSP instructions: the input of the larger scale only needs a shift, the
 * other one and the sum a multiplication each. */
#include "ek_add_row.h"

#include "ek_dsp.h"
#include "ek_limit_dsp.h"

enum { MAX_SHIFT = 22, HALF = 1 << 30 };

/* Constants of a scaling whose value is given twice, so that the high word of the product is what
 * SMMLAR gives: round(a * m / 2^31) = high(2 * a * m + 2^31). */
typedef struct scaling {
    int32_t multiplier;
    int32_t addend;
    int32_t shift;
} scaling;

typedef struct adder {
    const int8_t *scaled; /* the input of the smaller scale */
    const int8_t *exact;  /* the other: twice its share is value * exact_factor + exact_offset */
    int32_t factor;       /* twice what is scaled is value * factor + offset */
    int32_t offset;
    scaling input;
    int32_t exact_factor;
    int32_t exact_offset;
    scaling output;
} adder;

static inline int32_t scale_twice(int32_t twice, scaling by) {
    int32_t value;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(value) : "r"(twice), "r"(by.multiplier), "r"(by.addend));
    return (value + (twice >> 31)) >> by.shift;
}

static inline int32_t saturate_s8(int32_t value) {
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
}

/* What the scaled input adds to twice the sum, and what the exact one does. */
static inline int32_t scaled_share(const adder *v, int32_t value) {
    return scale_twice(value * v->factor + v->offset, v->input);
}

static inline int32_t exact_share(const adder *v, int32_t value) {
    return value * v->exact_factor + v->exact_offset;
}

static void add_all(const adder *v, size_t count, int8_t *y) {
    const int8_t *a = v->scaled;
    const int8_t *b = v->exact;
    /* Four at a time, step by step: each step's constants fit the registers. */
    for (; count >= 4; count -= 4) {
        int32_t s0 = scaled_share(v, a[0]);
        int32_t s1 = scaled_share(v, a[1]);
        int32_t s2 = scaled_share(v, a[2]);
        int32_t s3 = scaled_share(v, a[3]);
        s0 = exact_share(v, b[0]) + 2 * s0;
        s1 = exact_share(v, b[1]) + 2 * s1;
        s2 = exact_share(v, b[2]) + 2 * s2;
        s3 = exact_share(v, b[3]) + 2 * s3;
        y[0] = (int8_t)saturate_s8(scale_twice(s0, v->output));
        y[1] = (int8_t)saturate_s8(scale_twice(s1, v->output));
        y[2] = (int8_t)saturate_s8(scale_twice(s2, v->output));
        y[3] = (int8_t)saturate_s8(scale_twice(s3, v->output));
        a += 4;
        b += 4;
        y += 4;
    }
    for (; count != 0; count--) {
        const int32_t twice = exact_share(v, *b++) + 2 * scaled_share(v, *a++);
        *y++ = (int8_t)saturate_s8(scale_twice(twice, v->output));
    }
}

/* Takes the inputs in the order scaled, exact; false if these are not their scales. `one`: what 1
 * counts in either. */
static int set_inputs(adder *v, const ek_add_scale *scaled, int32_t one, const ek_add_scale *exact,
                      int32_t exact_one) {
    if (exact->multiplier != HALF || exact->shift != 0 || scaled->shift > 0 ||
        scaled->shift < -MAX_SHIFT || (scaled->shift == 0 && scaled->multiplier != HALF)) {
        return 0;
    }
    /* A factor of one half is exact, and the same as that of 2 with a shift by one more. */
    const int equal = scaled->shift == 0;
    v->factor = one * (equal ? 4 : 2);
    v->offset = -scaled->zero_point * v->factor;
    v->input.multiplier = scaled->multiplier;
    v->input.shift = equal ? 1 : -scaled->shift;
    v->input.addend = 1 << (v->input.shift - 1);
    v->exact_factor = exact_one;
    v->exact_offset = -exact->zero_point * exact_one;
    return 1;
}

static void add_plain(const ek_add_row *row, const int8_t *a, const int8_t *b, int8_t *y,
                      uint32_t count) {
    for (; count != 0; count--) {
        *y++ = ek_add_one(row, *a, *b);
        a += row->a_step;
        b += row->b_step;
    }
}

void ek_add_row_s8(const ek_add_row *row, const int8_t *a, const int8_t *b, int8_t *y,
                   uint32_t count) {
    const int32_t shift = -row->y.shift;
    adder v;
    if (row->a_step != 1 || row->b_step != 1 || shift < 1 || shift > MAX_SHIFT) {
        add_plain(row, a, b, y, count);
        return;
    }
    if (set_inputs(&v, &row->a, row->a_one, &row->b, row->b_one)) {
        v.scaled = a;
        v.exact = b;
    } else if (set_inputs(&v, &row->b, row->b_one, &row->a, row->a_one)) {
        v.scaled = b;
        v.exact = a;
    } else {
        add_plain(row, a, b, y, count);
        return;
    }
    v.output.multiplier = row->y.multiplier;
    v.output.shift = shift;
    v.output.addend = (1 << (shift - 1)) + row->y.zero_point * (1 << shift);
    add_all(&v, count, y);
    if (row->low > -128 || row->high < 127) {
        ek_limit_dsp(y, count, row->low, row->high);
    }
}
