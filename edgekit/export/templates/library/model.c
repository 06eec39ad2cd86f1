/* Model '$model': its image, and the calls that run it. What the API means: model.h.
 *
 * Layers, with the shape of what each writes and its multiply-accumulates:
$layers
 */
#include "model.h"

#include "ek_names.h"

#include "ek.h"

/* The image, byte for byte the .ekm with id
 * $image_id. */
_Alignas(16) static const uint8_t image_bytes[${macro}_IMAGE_BYTES] = {
$bytes
};

/* What ek_image_open reads from these bytes: edgekit has proven the image when it wrote this file,
 * so the target needs neither the proof nor memory for its result. */
static const ek_image image = {
    .bytes = image_bytes,
    .meta = image_bytes + ${meta_offset}u,
    .features = $features,
    .ops = image_bytes + ${ops_offset}u,
    .weights = image_bytes + ${weights_offset}u,
    .plan = image_bytes + ${plan_offset}u,
    .head = $head,
    .golden = $golden,
    .length = ${macro}_IMAGE_BYTES,
    .meta_bytes = ${meta_bytes}u,
    .weights_bytes = ${weights_bytes}u,
    .arena_bytes = ${macro}_ARENA_BYTES,
    .node_count = ${node_count}u,
    .word_count = ${word_count}u,
    .tensor_count = ${tensor_count}u,
    .input = ${input}u,
    .output = ${output}u,
    .input_bytes = ${macro}_INPUT_BYTES,
    .output_bytes = ${macro}_OUTPUT_BYTES,
    .head_node = ${head_node}u,
    .golden_count = ${macro}_GOLDEN_COUNT,
};

ek_status ${prefix}_run(const int8_t *input, int8_t *output, uint8_t *arena) {
    return ek_run(&image, arena, ${macro}_ARENA_BYTES, input, output);
}

ek_status ${prefix}_check(uint8_t *arena) {
    return ek_golden_check(&image, arena, ${macro}_ARENA_BYTES);
}
$raw_definition$label_definition