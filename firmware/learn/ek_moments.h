/* Mean and variance of a stream of vectors, and what a frozen model reads instead of raw values:
 * z = (x - mean) / sqrt(variance + 1e-5), quantized.
 * Source: B. P. Welford, Note on a Method for Calculating Corrected Sums of Squares and Products,
 * Technometrics 4 (1962). Twin: edgekit/runtime/online_twin.py, Moments */
#ifndef EK_MOMENTS_H
#define EK_MOMENTS_H

#include <stdint.h>

#include "ek_real.h"
#include "ek_status.h"

typedef struct ek_moments {
    ek_real *mean;     /* [size], begins as 0 */
    ek_real *variance; /* [size], begins as 0; of the whole, mean of the squared differences */
    uint32_t size;
    uint32_t count;   /* vectors seen, begins as 0 */
    uint32_t warm_up; /* vectors after which both stay as they are; 0: never */
    ek_real window;   /* least weight of a new vector: 0 for Welford, 1 / n follows a drift */
} ek_moments;

/* Counts a vector in, unless the moments are frozen. EK_ERR_NOT_FINITE: nothing has changed; in
 * fixed point also if a value is more than 11 from the mean, whose square is out of range. */
ek_status ek_moments_add(ek_moments *moments, const ek_real *x);

/* q [size]: the values of x as the model reads them. Of less than two vectors nothing is divided.
 */
void ek_moments_apply(const ek_moments *moments, const ek_real *x, ek_real scale,
                      int32_t zero_point, int8_t *q);

/* Counts an int8 vector q in and standardizes it: x = (q - zero_point) scale, its z in the same
 * unit. x [size] is scratch. Statuses of ek_moments_add; then q is as it was. */
ek_status ek_moments_standardize(ek_moments *moments, ek_real scale, int32_t zero_point, ek_real *x,
                                 int8_t *q);

#endif
