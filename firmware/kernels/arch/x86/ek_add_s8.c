/* ADD with the vector instructions of x86-64: both inputs through tables of their scaled values.
 * What broadcasts, is short or does not fit runs as the portable kernel does. */
#define ek_add_s8 ek_add_portable_s8
#include "../../ek_add_s8.c"
#undef ek_add_s8

#include "ek_finish_avx2.h"

enum { VALUES = 256, LEAST = 1024 };

/* What each value of an input adds to the sum; index: the stored byte as unsigned. */
static void fill_table(const ek_call *call, uint32_t param, const ek_tensor *t, int32_t one,
                       int32_t *table) {
    for (int32_t value = -128; value < 128; value++) {
        table[(uint8_t)value] = ek_multiply_double(
            (value - t->zero_point) * one, ek_param(call, param), ek_param(call, param + 1));
    }
}

EK_AVX2 static inline __m128i look_up(const int32_t *table, const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm_i32gather_epi32(table, _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)), 4);
}

EK_AVX2 static void add_fours(const uint8_t *a, const int32_t *a_table, const uint8_t *b,
                              const int32_t *b_table, size_t count, const ek_dot_output *out,
                              uint8_t *y) {
    for (size_t i = 0; i < count; i += 4) {
        const __m128i sums = _mm_add_epi32(look_up(a_table, a + i), look_up(b_table, b + i));
        const int32_t bytes = ek_finish_four(out, sums);
        memcpy(y + i, &bytes, sizeof bytes);
    }
}

void ek_add_s8(const ek_call *call) {
    const ek_tensor *a = &call->tensors[0];
    const ek_tensor *b = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    int32_t a_table[VALUES];
    int32_t b_table[VALUES];
    ek_dot_output out = {
        .zero_point = y->zero_point, .low = ek_param(call, Y_MIN), .high = ek_param(call, Y_MAX)};
    int fits = ek_dot_choose() != NULL && y->count >= LEAST && y->count % 4 == 0 &&
               a->count == y->count && b->count == y->count;
    for (size_t i = 0; i < EK_DOT_COLUMNS; i++) {
        fits = ek_dot_output_set(&out, i, 0, ek_param(call, Y_MULTIPLIER), ek_param(call, Y_SHIFT),
                                 EK_ROUND_DOUBLE) &&
               fits;
    }
    if (!fits) {
        ek_add_portable_s8(call);
        return;
    }
    fill_table(call, A_MULTIPLIER, a, 1 << 20, a_table);
    fill_table(call, B_MULTIPLIER, b, ek_param(call, SIGN) * (1 << 20), b_table);
    add_fours(a->data, a_table, b->data, b_table, y->count, &out, y->write);
}
