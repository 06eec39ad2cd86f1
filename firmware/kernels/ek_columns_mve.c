#include "ek_columns_mve.h"

static void lay_out(const ek_columns_mve *t) {
    int8_t *to = t->columns;
    for (size_t column = 0; column < t->count; column++) {
        for (size_t channel = 0; channel < t->channels; channel++) {
            for (size_t row = 0; row < 3; row++) {
                to[4 * channel + row] = t->rows[row][column * t->row_steps[row] + channel];
            }
        }
        to += EK_COLUMN_BYTES;
    }
}

static int32_t sum_of(const int8_t *columns, const int8_t *taps) {
    int32_t sum = 0;
    for (size_t column = 0; column < 3; column++) {
        for (size_t row = 0; row < 3; row++) {
            sum += columns[column * EK_COLUMN_BYTES + row] * taps[4 * column + row];
        }
    }
    return sum;
}

static inline void convolve(const ek_columns_mve *t, int away) {
    const int8_t *columns = t->first;
    int8_t *y = t->y;
    for (uint32_t pixel = 0; pixel < t->pixels; pixel++) {
        for (size_t c = 0; c < t->channels; c++) {
            const uint8_t *record = t->w + c / EK_MVE_CHANNELS * ek_mve_record_bytes(1);
            const size_t lane = c % EK_MVE_CHANNELS;
            const uint8_t *requant = record + EK_COLUMN_BYTES + 4 * lane;
            const int8_t *taps = (const int8_t *)record + EK_MVE_TERMS * lane;
            int32_t sum = ek_add_wrap(sum_of(columns + 4 * c, taps), ek_get_i32(requant));
            const int32_t multiplier = ek_get_i32(requant + 16);
            const int32_t shift = ek_get_i32(requant + 32);
            sum =
                away ? ek_mve_away(sum, multiplier, shift) : ek_mve_double(sum, multiplier, shift);
            y[c] = ek_mve_output(sum, t->zero_point, t->low, t->high);
        }
        columns += t->stride;
        y += t->y_step;
    }
}

void ek_columns_double_mve(const ek_columns_mve *t) {
    lay_out(t);
    convolve(t, 0);
}

void ek_columns_away_mve(const ek_columns_mve *t) {
    lay_out(t);
    convolve(t, 1);
}
