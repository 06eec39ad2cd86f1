#include "ek_moments.h"

static int is_frozen(const ek_moments *moments) {
    return moments->warm_up != 0U && moments->count >= moments->warm_up;
}

/* True if what a difference to x becomes is finite. */
static int are_sound(const ek_moments *moments, const ek_real *x) {
    int sound = 1;
    for (uint32_t i = 0; i < moments->size; i++) {
        const ek_real off = ek_sub(x[i], moments->mean[i]);
        sound = sound && ek_wide_sound(ek_wide_add(ek_wide_of(moments->variance[i]), off, off));
    }
    return sound;
}

ek_status ek_moments_add(ek_moments *moments, const ek_real *x) {
    if (is_frozen(moments) || moments->count == UINT32_MAX) {
        return EK_OK;
    }
    if (!are_sound(moments, x)) {
        return EK_ERR_NOT_FINITE;
    }
    moments->count++;
    const ek_real plain = ek_real_quotient(1, moments->count);
    const ek_real share = plain > moments->window ? plain : moments->window;
    for (uint32_t i = 0; i < moments->size; i++) {
        const ek_real off = ek_sub(x[i], moments->mean[i]);
        moments->mean[i] = ek_add(moments->mean[i], ek_mul(off, share));
        const ek_real square = ek_mul(off, ek_sub(x[i], moments->mean[i]));
        const ek_real change = ek_sub(square, moments->variance[i]);
        moments->variance[i] = ek_add(moments->variance[i], ek_mul(change, share));
    }
    return EK_OK;
}

void ek_moments_apply(const ek_moments *moments, const ek_real *x, ek_real scale,
                      int32_t zero_point, int8_t *q) {
    const int divided = moments->count >= 2U;
    /* The sample's variance of Welford, that of the window as it is. */
    const ek_real plain = divided ? ek_real_quotient(moments->count, moments->count - 1U) : 0;
    const ek_real more = moments->window > 0 ? EK_REAL(1) : plain;
    for (uint32_t i = 0; i < moments->size; i++) {
        ek_real z = ek_sub(x[i], moments->mean[i]);
        if (divided) {
            const ek_real variance = ek_add(ek_mul(moments->variance[i], more), EK_REAL(1e-5));
            z = ek_wide_ratio(z, ek_wide_sqrt(ek_wide_of(variance)));
        }
        const int32_t value = ek_real_round(ek_div(z, scale), 1000) + zero_point;
        q[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}

ek_status ek_moments_standardize(ek_moments *moments, ek_real scale, int32_t zero_point, ek_real *x,
                                 int8_t *q) {
    for (uint32_t i = 0; i < moments->size; i++) {
        x[i] = ek_real_times(q[i] - zero_point, scale);
    }
    const ek_status status = ek_moments_add(moments, x);
    if (status == EK_OK) {
        ek_moments_apply(moments, x, scale, zero_point, q);
    }
    return status;
}
