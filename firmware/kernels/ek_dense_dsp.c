#include "ek_dense_dsp.h"

#include "ek_lanes_dsp.h"

enum { PAIRS = EK_DENSE_GROUP / 2, PAIR_LANE_BYTES = 4 * EK_PAIR_LANES };

void ek_dense_dsp(const ek_dsp_dense *dense) {
    const int clean = dense->form >= EK_FORM_CLEAN_DOUBLE;
    const uint8_t *stream = dense->stream;
    const uint8_t *lanes = dense->lanes;
    int8_t *y = dense->y;
    for (uint32_t group = dense->groups; group != 0; group--) {
        uint32_t sums[EK_DENSE_GROUP];
        for (uint32_t i = 0; i < EK_DENSE_GROUP; i++) {
            sums[i] = ek_get_u32(stream);
            stream += 4;
        }
        const int8_t *x = dense->x;
        for (uint32_t i = dense->words; i != 0; i--) {
            for (uint32_t pair = 0; pair < PAIRS; pair++) {
                for (uint32_t k = 0; k < 2; k++) {
                    int32_t a[2];
                    int32_t b[2];
                    ek_pair_weights(stream, clean, a, b);
                    sums[2 * pair] += (uint32_t)(x[k] * a[0] + x[k + 2] * a[1]);
                    sums[2 * pair + 1] += (uint32_t)(x[k] * b[0] + x[k + 2] * b[1]);
                    stream += 4;
                }
            }
            x += 4;
        }
        for (uint32_t pair = 0; pair < PAIRS; pair++) {
            ek_pair_finish((int32_t)sums[2 * pair], (int32_t)sums[2 * pair + 1], dense->form,
                           lanes + (size_t)pair * PAIR_LANE_BYTES, y);
            y += 2;
        }
        lanes += dense->lanes_step;
    }
}
