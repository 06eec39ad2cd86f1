#include "ek_variables.h"

#include "ek_bytes.h"
#include "ek_container.h"
#include "ek_resolve.h"

/* Entry of variable i: its tensor, that of its next value, offset of its first value, bytes. */
static const uint8_t *entry_of(const ek_image *image, uint32_t i) {
    return image->variables + EK_VARIABLES_HEADER_BYTES + (size_t)EK_VARIABLE_BYTES * i;
}

void ek_variables_step(const ek_image *image, uint8_t *arena) {
    for (uint32_t i = 0; i < image->variable_count; i++) {
        const uint8_t *entry = entry_of(image, i);
        memmove(arena + ek_tensor_offset(image, ek_get_u32(entry)),
                arena + ek_tensor_offset(image, ek_get_u32(entry + 4)), ek_get_u32(entry + 12));
    }
}

ek_status ek_state_reset(const ek_image *image, uint8_t *arena, size_t arena_bytes) {
    if (arena_bytes < image->arena_bytes || ((uintptr_t)arena & (EK_SECTION_ALIGN - 1)) != 0) {
        return EK_ERR_ARENA;
    }
    for (uint32_t i = 0; i < image->variable_count; i++) {
        const uint8_t *entry = entry_of(image, i);
        memcpy(arena + ek_tensor_offset(image, ek_get_u32(entry)),
               image->variables + ek_get_u32(entry + 8), ek_get_u32(entry + 12));
    }
    return EK_OK;
}
