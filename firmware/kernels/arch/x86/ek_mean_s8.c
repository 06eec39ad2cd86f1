/* MEAN with the vector instructions of x86-64, where the elements that are summed up are neither
 * neighbours nor far apart: the mean of an image. */
#define ek_mean_s8 ek_mean_portable_s8
#include "../../ek_mean_s8.c"
#undef ek_mean_s8

#include "ek_finish_avx2.h"

/* Sums of 8 columns of x [rows, columns]. */
EK_AVX2 static void sum_eight(const int8_t *x, uint32_t rows, uint32_t columns, int32_t *sums) {
    __m256i total = _mm256_setzero_si256();
    for (; rows != 0; rows--) {
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)x);
        total = _mm256_add_epi32(total, _mm256_cvtepi8_epi32(bytes));
        x += columns;
    }
    _mm256_storeu_si256((__m256i *)(void *)sums, total);
}

void ek_mean_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    uint32_t dims[EK_MAX_RANK];
    uint32_t reduced[EK_MAX_RANK];
    const uint32_t rank = join(call, dims, reduced);
    if (!ek_dot_ready() || rank < 2 || rank > 3 || reduced[rank - 1] != 0 || dims[rank - 1] < 8) {
        ek_mean_portable_s8(call);
        return;
    }
    const uint32_t rows = dims[rank - 2];
    const uint32_t columns = dims[rank - 1];
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)y->write;
    for (uint32_t images = rank == 3 ? dims[0] : 1; images != 0; images--) {
        for (uint32_t c = 0; c < columns; c += 8) {
            /* The last 8 may be some of those before. */
            const uint32_t first = c + 8 <= columns ? c : columns - 8;
            int32_t sums[8];
            sum_eight(from + first, rows, columns, sums);
            for (uint32_t i = 0; i < 8; i++) {
                const int32_t value =
                    ek_multiply_double(sums[i] - x->zero_point * (int32_t)rows,
                                       ek_param(call, MULTIPLIER), ek_param(call, SHIFT));
                to[first + i] = ek_clamp_s8(ek_add_wrap(value, y->zero_point), -128, 127);
            }
        }
        from += (size_t)rows * columns;
        to += columns;
    }
}
