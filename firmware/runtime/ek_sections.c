#include "ek_sections.h"

#include "ek_bytes.h"
#include "ek_container.h"
#include "ek_resolve.h"
#include "ek_text.h"

ek_status ek_prove_features(ek_image *image, ek_span features) {
    image->features = NULL;
    image->raw_bytes = image->input_bytes;
    if (features.data == NULL) {
        return EK_OK;
    }
    if (features.bytes < EK_FEATURES_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    ek_tensor tensor;
    ek_tensor_resolve(image, image->input, NULL, &tensor);
    image->features = features.data;
    switch (ek_get_u32(features.data)) {
    case EK_FEATURES_LUT_U8:
        return tensor.type != EK_S8                               ? EK_ERR_SHAPE
               : features.bytes < EK_FEATURES_HEADER_BYTES + 256u ? EK_ERR_TRUNCATED
                                                                  : EK_OK;
    case EK_FEATURES_BPE:
        image->raw_bytes = 0; /* as many as a golden vector has */
        return tensor.type != EK_S32 || tensor.count != ek_get_u32(features.data + 4)
                   ? EK_ERR_SHAPE
                   : ek_tokens_prove(features.data + EK_FEATURES_HEADER_BYTES,
                                     features.bytes - EK_FEATURES_HEADER_BYTES);
    default:
        return EK_ERR_RANGE;
    }
}

/* True if count float32 are finite. */
static int all_finite(const uint8_t *bytes, size_t count) {
    for (; count != 0; count--) {
        if ((ek_get_u32(bytes) & 0x7f800000u) == 0x7f800000u) {
            return 0;
        }
        bytes += 4;
    }
    return 1;
}

ek_status ek_prove_head(ek_image *image, ek_span head) {
    image->head = NULL;
    image->head_node = 0;
    if (head.data == NULL) {
        return EK_OK;
    }
    if (head.bytes < EK_HEAD_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    const uint32_t node = ek_get_u32(head.data);
    const uint32_t classes = ek_get_u32(head.data + 4);
    const uint32_t most = ek_get_u32(head.data + 8);
    const uint32_t width = ek_get_u32(head.data + 12);
    const uint64_t floats = (uint64_t)classes * width + classes;
    if (node > image->node_count || classes == 0 || classes > 65535 || most < classes ||
        most > 65535 || width == 0 || width > EK_MAX_BYTES) {
        return EK_ERR_RANGE;
    }
    if (EK_HEAD_HEADER_BYTES + 4 * floats > head.bytes) {
        return EK_ERR_TRUNCATED;
    }
    ek_tensor tensor;
    image->head_node = node;
    ek_tensor_resolve(image, ek_head_tensor(image), NULL, &tensor);
    if (tensor.type != EK_S8 || tensor.constant || tensor.count != width) {
        return EK_ERR_SHAPE;
    }
    if (!all_finite(head.data + 16, 1) || !all_finite(head.data + 24, 1) ||
        !all_finite(head.data + EK_HEAD_HEADER_BYTES, (size_t)floats)) {
        return EK_ERR_NOT_FINITE;
    }
    if (!(ek_get_f32(head.data + 16) > 0) || ek_get_i32(head.data + 20) < -128 ||
        ek_get_i32(head.data + 20) > 127) {
        return EK_ERR_RANGE;
    }
    image->head = head.data;
    return EK_OK;
}

ek_status ek_prove_golden(ek_image *image, ek_span golden) {
    image->golden = NULL;
    image->golden_count = 0;
    if (golden.data == NULL) {
        return EK_OK;
    }
    if (golden.bytes < EK_GOLDEN_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    image->golden_count = ek_get_u32(golden.data);
    if (ek_image_takes_text(image)) {
        image->raw_bytes = ek_get_u32(golden.data + 4);
    }
    uint64_t each = (uint64_t)image->input_bytes + image->output_bytes;
    each += image->features == NULL ? 0 : image->raw_bytes;
    if (image->golden_count == 0 || image->golden_count > 4) {
        return EK_ERR_RANGE;
    }
    if (EK_GOLDEN_HEADER_BYTES + image->golden_count * each > golden.bytes) {
        return EK_ERR_TRUNCATED;
    }
    image->golden = golden.data;
    return EK_OK;
}

/* Each variable and its next value: two tensors of the arena of one type and size; the variables
 * lie apart from one another, from input and output, and from what others become. */
ek_status ek_prove_variables(ek_image *image, ek_span variables) {
    image->variables = NULL;
    image->variable_count = 0;
    if (variables.data == NULL) {
        return EK_OK;
    }
    if (variables.bytes < EK_VARIABLES_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    const uint32_t count = ek_get_u32(variables.data);
    const uint8_t *entries = variables.data + EK_VARIABLES_HEADER_BYTES;
    if (count > EK_MAX_VARIABLES ||
        EK_VARIABLES_HEADER_BYTES + EK_VARIABLE_BYTES * count > variables.bytes) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = entries + (size_t)EK_VARIABLE_BYTES * i;
        const uint32_t id = ek_get_u32(entry);
        const uint32_t next = ek_get_u32(entry + 4);
        const uint32_t offset = ek_get_u32(entry + 8);
        const uint32_t bytes = ek_get_u32(entry + 12);
        ek_tensor held;
        ek_tensor coming;
        if (id >= image->tensor_count || next >= image->tensor_count || offset > variables.bytes ||
            bytes > variables.bytes - offset) {
            return EK_ERR_RANGE;
        }
        ek_tensor_resolve(image, id, NULL, &held);
        ek_tensor_resolve(image, next, NULL, &coming);
        if (held.constant || coming.constant || ek_tensor_bytes(&held) != bytes ||
            ek_tensor_bytes(&coming) != bytes || held.type != coming.type) {
            return EK_ERR_SHAPE;
        }
        const uint32_t place = ek_tensor_offset(image, id);
        if (ek_overlap(place, bytes, ek_tensor_offset(image, image->input), image->input_bytes) ||
            ek_overlap(place, bytes, ek_tensor_offset(image, image->output), image->output_bytes)) {
            return EK_ERR_RANGE;
        }
        for (uint32_t j = 0; j < count; j++) {
            const uint8_t *other = entries + (size_t)EK_VARIABLE_BYTES * j;
            const uint32_t other_id = ek_get_u32(other);
            const uint32_t other_next = ek_get_u32(other + 4);
            if (other_id >= image->tensor_count || other_next >= image->tensor_count) {
                return EK_ERR_RANGE;
            }
            ek_tensor_resolve(image, other_id, NULL, &held);
            ek_tensor_resolve(image, other_next, NULL, &coming);
            if (i != j && (ek_overlap(place, bytes, ek_tensor_offset(image, other_id),
                                      ek_tensor_bytes(&held)) ||
                           ek_overlap(place, bytes, ek_tensor_offset(image, other_next),
                                      ek_tensor_bytes(&coming)))) {
                return EK_ERR_RANGE;
            }
        }
    }
    image->variables = variables.data;
    image->variable_count = count;
    return EK_OK;
}
