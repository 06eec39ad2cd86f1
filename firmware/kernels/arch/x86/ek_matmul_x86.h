/* What finishes the columns of a product, for AVX2. */
#ifndef EK_MATMUL_X86_H
#define EK_MATMUL_X86_H

#include "../../ek_matmul_s8.h"
#include "ek_dot_s16.h"

/* True if every sum is shifted to the right. */
int ek_matmul_shifts_fit(const ek_matmul *m);

/* Sets what finishes columns [first, first + count), at most 16, and repeats the last up to a
 * multiple of 8. Needs AVX2. */
void ek_matmul_outputs(const ek_matmul *m, uint32_t first, uint32_t count, ek_dot_output *out);

#endif
