#include "ek_names.h"

/* This model has no variables. */
#include "ek_variables.h"

void ek_variables_step(const ek_image *image, uint8_t *arena) {
    (void)image;
    (void)arena;
}

ek_status ek_state_reset(const ek_image *image, uint8_t *arena, size_t arena_bytes) {
    (void)image;
    (void)arena;
    (void)arena_bytes;
    return EK_OK;
}
