#include "ek_vector.h"

void ek_vector_times_rows(const int16_t *x, const int8_t *w, size_t terms, size_t rows,
                          int32_t *sums) {
    for (; rows != 0; rows--) {
        int32_t sum = 0;
        for (size_t k = 0; k < terms; k++) {
            sum += x[k] * *w++;
        }
        *sums++ = sum;
    }
}
