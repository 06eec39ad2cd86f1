/* Runs a proven image. */
#include "ek.h"

#include "ek_bytes.h"
#include "ek_container.h"
#include "ek_resolve.h"
#include "ek_variables.h"

int8_t *ek_image_input(const ek_image *image, uint8_t *arena) {
    return (int8_t *)arena + ek_tensor_offset(image, image->input);
}

int8_t *ek_image_output(const ek_image *image, uint8_t *arena) {
    return (int8_t *)arena + ek_tensor_offset(image, image->output);
}

/* Runs nodes [0, end) on an input; tensors stay in the arena. */
static ek_status run_nodes(const ek_image *image, uint8_t *arena, size_t arena_bytes,
                           const int8_t *input, uint32_t end, ek_layer_hook hook, void *context) {
    ek_call call;
    const ek_op *op;
    if (arena_bytes < image->arena_bytes || ((uintptr_t)arena & (EK_SECTION_ALIGN - 1)) != 0) {
        return EK_ERR_ARENA;
    }
    int8_t *place = ek_image_input(image, arena);
    if (input != place) {
        memcpy(place, input, image->input_bytes);
    }
    for (uint32_t node = 0; node < end; node++) {
        if (hook != NULL) {
            hook(context, node);
        }
        ek_node_resolve(image, node, arena, &call, &op);
        op->run(&call);
    }
    if (hook != NULL) {
        hook(context, end);
    }
    return EK_OK;
}

ek_status ek_run_hooked(const ek_image *image, uint8_t *arena, size_t arena_bytes,
                        const int8_t *input, int8_t *output, ek_layer_hook hook, void *context) {
    ek_status status =
        run_nodes(image, arena, arena_bytes, input, image->node_count, hook, context);
    if (status == EK_OK) {
        const int8_t *place = ek_image_output(image, arena);
        if (output != place) {
            memcpy(output, place, image->output_bytes);
        }
        ek_variables_step(image, arena);
    }
    return status;
}

ek_status ek_run(const ek_image *image, uint8_t *arena, size_t arena_bytes, const int8_t *input,
                 int8_t *output) {
    return ek_run_hooked(image, arena, arena_bytes, input, output, NULL, NULL);
}

ek_status ek_run_features(const ek_image *image, uint8_t *arena, size_t arena_bytes,
                          const int8_t *input, int8_t *features) {
    if (image->head == NULL) {
        return EK_ERR_STATE;
    }
    ek_status status = run_nodes(image, arena, arena_bytes, input, image->head_node, NULL, NULL);
    if (status == EK_OK) {
        const uint32_t tensor = ek_head_tensor(image);
        memcpy(features, arena + ek_tensor_offset(image, tensor), ek_get_u32(image->head + 12));
    }
    return status;
}

ek_status ek_golden_check(const ek_image *image, uint8_t *arena, size_t arena_bytes) {
    if (image->golden == NULL) {
        return EK_ERR_STATE;
    }
    const uint8_t *p = image->golden + EK_GOLDEN_HEADER_BYTES;
    for (uint32_t i = 0; i < image->golden_count; i++) {
        ek_status status = ek_state_reset(image, arena, arena_bytes);
        if (status == EK_OK && image->features != NULL) {
            int8_t *input = ek_image_input(image, arena);
            status = ek_features_apply(image, p, input);
            p += image->raw_bytes;
            if (status == EK_OK && memcmp(input, p, image->input_bytes) != 0) {
                status = EK_ERR_GOLDEN;
            }
        }
        if (status == EK_OK) {
            status = run_nodes(image, arena, arena_bytes, (const int8_t *)p, image->node_count,
                               NULL, NULL);
        }
        if (status != EK_OK) {
            return status;
        }
        p += image->input_bytes;
        const uint8_t *output = arena + ek_tensor_offset(image, image->output);
        for (uint32_t n = 0; n < image->output_bytes; n++) {
            if (output[n] != p[n]) {
                return EK_ERR_GOLDEN;
            }
        }
        p += image->output_bytes;
    }
    return ek_state_reset(image, arena, arena_bytes);
}
