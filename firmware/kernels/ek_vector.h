/* Products of a vector of int16 with rows of int8. */
#ifndef EK_VECTOR_H
#define EK_VECTOR_H

#include <stddef.h>
#include <stdint.h>

enum { EK_VECTOR_ROWS = 4 };

/* sums[i] = sum of x[k] * w[i * terms + k]; rows: 1 .. 4. The sums fit 31 bits. */
void ek_vector_times_rows(const int16_t *x, const int8_t *w, size_t terms, size_t rows,
                          int32_t *sums);

#endif
