#include "ek_exp.h"

#include <stdint.h>

#include "../link/ek_wire.h"

#define LOG2_E 1.44269504088896341f
#define LN2_HIGH 0.693359375f
#define LN2_LOW (-2.12194440e-4f)
#define SQRT_HALF 0.707106781186547524f

/* 2^n for -126 <= n <= 127. */
static float power_of_two(int32_t n) {
    return ek_wire_bits_float((uint32_t)(n + 127) << 23);
}

float ek_exp_f32(float x) {
    if (x != x) {
        return x;
    }
    if (x < -87.0f) {
        return 0.0f;
    }
    if (x > 88.7f) {
        return ek_wire_bits_float(0x7f800000U);
    }
    const float scaled = x * LOG2_E;
    const int32_t n = (int32_t)(scaled + (scaled < 0.0f ? -0.5f : 0.5f));
    float r = x - (float)n * LN2_HIGH;
    r = r - (float)n * LN2_LOW;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    const int32_t half = n / 2; /* in two steps, because 2^128 is no float */
    return y * power_of_two(half) * power_of_two(n - half);
}

float ek_log_f32(float x) {
    const uint32_t bits = ek_wire_float_bits(x);
    if (bits < 0x00800000U || bits >= 0x7f800000U) {
        return ek_wire_bits_float(0x7fc00000U);
    }
    int32_t e = (int32_t)(bits >> 23) - 126;
    float m = ek_wire_bits_float((bits & 0x007fffffU) | 0x3f000000U); /* [0.5, 1) */
    if (m < SQRT_HALF) {
        e--;
        m = m + m;
    }
    m = m - 1.0f;
    const float z = m * m;
    float y = 7.0376836292e-2f;
    y = y * m - 1.1514610310e-1f;
    y = y * m + 1.1676998740e-1f;
    y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f;
    y = y * m - 1.6668057665e-1f;
    y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f;
    y = y * m + 3.3333331174e-1f;
    y = y * m * z;
    y = y + LN2_LOW * (float)e;
    y = y - 0.5f * z;
    return (m + y) + LN2_HIGH * (float)e;
}

float ek_tanh_f32(float x) {
    const float size = x < 0.0f ? -x : x;
    if (size < 0.625f) {
        const float z = x * x;
        float y = -5.70498872745e-3f;
        y = y * z + 2.06390887954e-2f;
        y = y * z - 5.37397155531e-2f;
        y = y * z + 1.33314422036e-1f;
        y = y * z - 3.33332819422e-1f;
        return y * z * x + x;
    }
    const float y = 1.0f - 2.0f / (ek_exp_f32(size + size) + 1.0f);
    return x < 0.0f ? -y : y;
}

float ek_sqrt_f32(float x) {
    const uint32_t bits = ek_wire_float_bits(x);
    if (bits < 0x00800000U || bits >= 0x7f800000U) {
        return bits == 0x7f800000U || x != x ? x : 0.0f;
    }
    /* Half the exponent: within 4 %, and each step squares the error. */
    float y = ek_wire_bits_float((bits >> 1) + 0x1fbb4f2eU);
    y = 0.5f * (y + x / y);
    y = 0.5f * (y + x / y);
    return 0.5f * (y + x / y);
}
