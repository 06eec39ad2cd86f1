/* ADD with the DSP instructions: the input of the larger scale only needs a shift, the other one
 * and the sum a multiplication each. What broadcasts or does not fit runs as the portable kernel
 * does. */
#define ek_add_s8 ek_add_portable_s8
#include "../../ek_add_s8.c"
#undef ek_add_s8

#include "ek_dsp.h"
#include "ek_limit_dsp.h"

enum { MAX_SHIFT = 22, HALF = 1 << 30 };

/* Constants of a scaling whose value is given twice: see ek_lane in ek_lane.h. */
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

static int fits(const ek_call *call) {
    const uint32_t count = call->tensors[2].count;
    const int32_t shift = ek_param(call, Y_SHIFT);
    return call->tensors[0].count == count && call->tensors[1].count == count && shift < 0 &&
           shift >= -MAX_SHIFT && ek_param(call, SIGN) != 0;
}

/* Takes inputs in the order scaled, exact; false if these are not their scales. */
static int set_inputs(const ek_call *call, uint32_t scaled, adder *v) {
    const uint32_t exact = 1 - scaled;
    const int32_t multiplier = ek_param(call, A_MULTIPLIER + 2 * scaled);
    const int32_t shift = ek_param(call, A_SHIFT + 2 * scaled);
    const int32_t signs[2] = {1, ek_param(call, SIGN)};
    if (ek_param(call, A_MULTIPLIER + 2 * exact) != HALF ||
        ek_param(call, A_SHIFT + 2 * exact) != 0 || shift > 0 || shift < -MAX_SHIFT ||
        (shift == 0 && multiplier != HALF)) {
        return 0;
    }
    /* A factor of one half is exact, and the same as that of 2 with a shift by one more. */
    const int equal = shift == 0;
    v->scaled = (const int8_t *)call->tensors[scaled].data;
    v->exact = (const int8_t *)call->tensors[exact].data;
    v->factor = signs[scaled] * (equal ? 1 << 22 : 1 << 21);
    v->offset = -call->tensors[scaled].zero_point * v->factor;
    v->input.multiplier = multiplier;
    v->input.shift = equal ? 1 : -shift;
    v->input.addend = 1 << (v->input.shift - 1);
    v->exact_factor = signs[exact] * (1 << 20);
    v->exact_offset = -call->tensors[exact].zero_point * v->exact_factor;
    return 1;
}

void ek_add_s8(const ek_call *call) {
    const ek_tensor *y = &call->tensors[2];
    const int32_t shift = -ek_param(call, Y_SHIFT);
    const int32_t low = ek_param(call, Y_MIN);
    const int32_t high = ek_param(call, Y_MAX);
    adder v;
    if (!fits(call) || (!set_inputs(call, 0, &v) && !set_inputs(call, 1, &v))) {
        ek_add_portable_s8(call);
        return;
    }
    v.output.multiplier = ek_param(call, Y_MULTIPLIER);
    v.output.shift = shift;
    v.output.addend = (1 << (shift - 1)) + y->zero_point * (1 << shift);
    add_all(&v, y->count, (int8_t *)y->write);
    if (low > -128 || high < 127) {
        ek_limit_dsp((int8_t *)y->write, y->count, low, high);
    }
}
