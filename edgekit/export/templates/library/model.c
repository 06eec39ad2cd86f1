/* Model '$model': its image, and the calls that run it. What the API means: model.h.
 *
 * Layers, with the shape of what each writes and its multiply-accumulates:
$layers
 */
#include "model.h"

#include "ek_names.h"

$includes

/* Sections of the .ekm with id
 * $image_id. */
$arrays

/* Its plan. */
const ek_plan_tensor ek_plan_tensors[] = {
$plan_tensors
};

const ek_plan_node ek_plan_nodes[] = {
$plan_nodes
};

const $side_type ek_plan_sides[] = {
$plan_sides
};

const $id_type ek_plan_ids[] = {
$plan_ids
};

const uint8_t ek_plan_params[] = {
$plan_params
};

/* What ek_image_open would find: edgekit has proven the image when it wrote this file, so the target
 * needs neither the proof nor memory for its result. A part that only some calls need is in a
 * constant of its own: who does not make them has no such bytes in flash. */
#define IMAGE(...)                               \
    {                                            \
        .weights = weights_bytes,                \
        .weights_bytes = sizeof weights_bytes,   \
        .arena_bytes = ${macro}_ARENA_BYTES,     \
        .node_count = ${node_count}u,            \
        .input = ${input}u,                      \
        .output = ${output}u,                    \
        .input_bytes = ${macro}_INPUT_BYTES,     \
        .output_bytes = ${macro}_OUTPUT_BYTES,   \
$variable_fields        __VA_ARGS__                              \
    }

static const ek_image image = IMAGE(.golden = NULL);
static const ek_image golden_image = IMAGE($golden_fields);

ek_status ${prefix}_run(const int8_t *input, int8_t *output, uint8_t *arena) {
    return ek_run(&image, arena, ${macro}_ARENA_BYTES, input, output);
}

ek_status ${prefix}_check(uint8_t *arena) {
    return ek_golden_check(&golden_image, arena, ${macro}_ARENA_BYTES);
}
$raw_definition$text_definition$head_definition$labels_definition$state_definition
