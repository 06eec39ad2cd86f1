#include "ek_tile_mve.h"

void ek_patch_mve(int8_t *to, size_t to_step, const int8_t *from, size_t from_step,
                  size_t row_bytes, uint32_t rows) {
    for (uint32_t row = 0; row < rows; row++) {
        ek_copy_bytes(to + row * to_step, from + row * from_step, row_bytes);
    }
}

void ek_fill_mve(int8_t *to, int32_t value, size_t count) {
    ek_fill_bytes(to, 0x01010101u * (uint8_t)value, count);
}
