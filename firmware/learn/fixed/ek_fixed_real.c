/* Exponential, logarithm, tangent and root of fixed/ek_real.h, with integers alone. */
#include "ek_real.h"

#define ONE30 ((int64_t)1 << 30)
#define LOG2_E_30 1549082005 /* log2(e) */
#define LN2_30 744261118     /* ln(2) */
#define WIDE_MOST ((int64_t)1 << 30)

/* a b of numbers with 30 bits behind the point. */
static int64_t mul30(int64_t a, int64_t b) {
    return (a * b + ONE30 / 2) >> 30;
}

ek_real ek_real_of(float x) {
    const float scaled = x * (float)EK_REAL_ONE;
    if (scaled >= 2147483648.0f) {
        return INT32_MAX;
    }
    if (scaled <= -2147483648.0f) {
        return INT32_MIN;
    }
    if (scaled >= 8388608.0f || scaled <= -8388608.0f) {
        return (ek_real)scaled; /* a whole number */
    }
    return scaled != scaled ? 0 : (ek_real)(scaled + (scaled < 0.0f ? -0.5f : 0.5f));
}

float ek_real_float(ek_real x) {
    return (float)x * (1.0f / (float)EK_REAL_ONE);
}

ek_wide ek_wide_mul(ek_wide a, ek_wide b) {
    if (a <= INT32_MAX && b <= INT32_MAX) {
        const ek_wide product = (a * b + EK_REAL_ONE / 2) >> EK_REAL_BITS;
        return product;
    }
    a = a >> (EK_REAL_BITS / 2);
    b = b >> (EK_REAL_BITS / 2);
    return (a < WIDE_MOST ? a : WIDE_MOST) * (b < WIDE_MOST ? b : WIDE_MOST);
}

ek_wide ek_wide_sqrt(ek_wide s) {
    const int fine = s < (ek_wide)1 << 38;
    uint64_t rest = (uint64_t)s << (fine ? EK_REAL_BITS : 0);
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit != 0U; bit >>= 2) {
        const uint64_t next = root + bit;
        root >>= 1;
        if (rest >= next) {
            rest -= next;
            root += bit;
        }
    }
    return (ek_wide)(root << (fine ? 0 : EK_REAL_BITS / 2));
}

ek_real ek_wide_log(ek_wide s) {
    int32_t twos = 0;
    while (s >= (ek_wide)2 * EK_REAL_ONE) {
        s = s >> 1;
        twos++;
    }
    /* ln m = 2 (t + t^3 / 3 + t^5 / 5 + ...), t = (m - 1) / (m + 1) */
    const int64_t m = s << 6;
    const int64_t t = (m - ONE30) * ONE30 / (m + ONE30);
    const int64_t z = mul30(t, t);
    int64_t y = ONE30 / 13;
    for (int32_t n = 11; n > 0; n -= 2) {
        y = mul30(y, z) + ONE30 / n;
    }
    return ek_wide_real((2 * mul30(y, t) + twos * (int64_t)LN2_30 + 32) >> 6);
}

ek_real ek_exp(ek_real x) {
    /* 2^f on [0, 1), a polynomial of least squares; error below 6e-9. */
    static const int32_t factors[6] = {234908, 1330132, 10398739, 59571654, 257945537, 744260848};
    if (x >= 0) {
        return EK_REAL_ONE;
    }
    const int64_t power = (int64_t)x * LOG2_E_30; /* of 2; 54 bits behind the point */
    const int64_t whole = power >> 54;
    const int64_t f = (power >> 24) - whole * ONE30;
    if (whole < -30) {
        return 0;
    }
    int64_t y = 0;
    for (uint32_t i = 0; i < 6U; i++) {
        y = mul30(y + factors[i], f);
    }
    const int shift = 6 - (int)whole;
    return (ek_real)((y + ONE30 + ((int64_t)1 << (shift - 1))) >> shift);
}

ek_real ek_tanh(ek_real x) {
    const ek_wide size = x < 0 ? -(ek_wide)x : x;
    const ek_real e = ek_exp(ek_wide_real(-2 * size));
    const ek_real y = ek_div(EK_REAL_ONE - e, EK_REAL_ONE + e);
    return x < 0 ? -y : y;
}
