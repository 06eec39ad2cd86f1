/* Model '$model', version '$version': int8 in, int8 out, no heap, $state.
 * Made by edgekit from image $image_id.
 *
$facts
 */
#ifndef ${macro}_MODEL_H
#define ${macro}_MODEL_H

#include <stdint.h>

#include "ek_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* BLAKE2b-256 of the image. */
#define ${macro}_IMAGE_ID "$image_id"

/* Weights, biases, multipliers and tables: most of the flash that the model takes. */
#define ${macro}_WEIGHT_BYTES ${weights_bytes}u

/* Working memory for one inference. The caller owns it. $arena_use */
#define ${macro}_ARENA_BYTES ${arena_bytes}u
#define ${macro}_ARENA_ALIGN 16

/* real value = (byte - ZERO_POINT) * SCALE; a scale of 0: the model states none. */
#define ${macro}_INPUT_BYTES ${input_bytes}u
#define ${macro}_INPUT_SHAPE \
    { $input_shape }
#define ${macro}_INPUT_SCALE $input_scale
#define ${macro}_INPUT_ZERO_POINT ($input_zero_point)

#define ${macro}_OUTPUT_BYTES ${output_bytes}u
#define ${macro}_OUTPUT_SHAPE \
    { $output_shape }
#define ${macro}_OUTPUT_SCALE $output_scale
#define ${macro}_OUTPUT_ZERO_POINT ($output_zero_point)

/* Where input and output lie in the arena. Who writes the input there, and gives these places to
 * ${prefix}_run, needs no memory of their own for them. They may share bytes: the input is gone
 * after a run. */
#define ${macro}_INPUT_OFFSET ${input_offset}u
#define ${macro}_OUTPUT_OFFSET ${output_offset}u

/* Vectors that ${prefix}_check runs. */
#define ${macro}_GOLDEN_COUNT ${golden_count}u

/* Runs the model once: input of ${macro}_INPUT_BYTES, output of ${macro}_OUTPUT_BYTES, arena of
 * ${macro}_ARENA_BYTES at a multiple of ${macro}_ARENA_ALIGN. Input and output lie outside
 * the arena, or exactly at their offsets in it. Statuses: EK_OK; EK_ERR_ARENA if the arena is misaligned. */
ek_status ${prefix}_run(const int8_t *input, int8_t *output, uint8_t *arena);

/* Runs the golden vectors of the image: EK_OK if every byte is what edgekit computed. Call it once
 * after start. Statuses: EK_ERR_GOLDEN; EK_ERR_ARENA; EK_ERR_STATE if the image has none. */
ek_status ${prefix}_check(uint8_t *arena);

/* English text of a status, never NULL. */
const char *${prefix}_status_text(ek_status status);
$raw_declaration$text_declaration$head_declaration$labels_declaration$state_declaration
#ifdef __cplusplus
}
#endif

#endif
