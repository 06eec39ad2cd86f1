/* From raw bytes, or from text, to the model's input. */
#include "ek.h"

#include <string.h>

#include "ek_bytes.h"
#include "ek_container.h"
#include "ek_text.h"

int ek_image_takes_text(const ek_image *image) {
    return image->features != NULL && ek_get_u32(image->features) == EK_FEATURES_BPE;
}

ek_status ek_text_apply(const ek_image *image, const uint8_t *text, size_t bytes, int8_t *input,
                        uint32_t *count) {
    if (!ek_image_takes_text(image)) {
        return EK_ERR_STATE;
    }
    const uint32_t limit = image->input_bytes / 4u;
    *count = ek_tokenize(image->features + EK_FEATURES_HEADER_BYTES, text, bytes, (uint8_t *)input,
                         limit);
    memset(input + 4u * (size_t)*count, 0, 4u * (size_t)(limit - *count));
    return EK_OK;
}

ek_status ek_features_apply(const ek_image *image, const uint8_t *raw, int8_t *input) {
    if (image->features == NULL) {
        memcpy(input, raw, image->input_bytes);
        return EK_OK;
    }
    if (ek_image_takes_text(image)) {
        uint32_t count;
        return ek_text_apply(image, raw, image->raw_bytes, input, &count);
    }
    const int8_t *table = (const int8_t *)image->features + EK_FEATURES_HEADER_BYTES;
    for (uint32_t i = image->input_bytes; i != 0; i--) {
        *input++ = table[*raw++];
    }
    return EK_OK;
}
