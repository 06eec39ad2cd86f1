/* From raw bytes to the model's input. */
#include "ek.h"

#include <string.h>

#include "ek_container.h"

ek_status ek_features_apply(const ek_image *image, const uint8_t *raw, int8_t *input) {
    if (image->features == NULL) {
        memcpy(input, raw, image->input_bytes);
        return EK_OK;
    }
    const int8_t *table = (const int8_t *)image->features + EK_FEATURES_HEADER_BYTES;
    for (uint32_t i = image->input_bytes; i != 0; i--) {
        *input++ = table[*raw++];
    }
    return EK_OK;
}
