/* Exponential, logarithm, tangent and root in float32, equal in every bit on every machine of ours.
 * Fixed polynomials, no libm; this folder is compiled with -ffp-contract=off. */
#ifndef EK_EXP_H
#define EK_EXP_H

/* e^x; 0 below -87, infinity above 88.7. Error below 2 units in the last place.
 * Source: S. L. Moshier, Cephes Mathematical Library, single precision, expf.c */
float ek_exp_f32(float x);

/* Natural logarithm of a normal x > 0; anything else gives what the caller's checks for finite
 * values catch. Source: S. L. Moshier, Cephes Mathematical Library, single precision, logf.c */
float ek_log_f32(float x);

/* Hyperbolic tangent. Error below 2 units in the last place.
 * Source: S. L. Moshier, Cephes Mathematical Library, single precision, tanhf.c */
float ek_tanh_f32(float x);

/* Square root of x >= 0 by Newton's method. Error below 2 units in the last place of a normal x;
 * infinity for infinity. */
float ek_sqrt_f32(float x);

#endif
