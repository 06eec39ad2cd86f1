/* An image made ready for many runs on a machine with memory to spare: nodes are resolved once, and
 * constants lie as the processor reads them fastest. Same bytes as ek_run. */
#ifndef EK_PROGRAM_H
#define EK_PROGRAM_H

#include "ek.h"

/* Made by ek_program_open in memory of the caller. */
typedef struct ek_program ek_program;

/* Memory of a program, at a multiple of 64. image: proven by ek_image_open. */
size_t ek_program_bytes(const ek_image *image);

/* Image, arena and memory must stay where they are, and the program is the only one in its arena.
 * arena: as for ek_run. Statuses: EK_ERR_ARENA, EK_ERR_ARGUMENT (memory is not aligned). */
ek_status ek_program_open(const ek_image *image, uint8_t *arena, size_t arena_bytes, void *memory);

/* As ek_run for each of `count` inputs that lie one after the other; outputs: the same. Variables
 * live on from one to the next. */
ek_status ek_program_run(const ek_program *program, const int8_t *inputs, int8_t *outputs,
                         size_t count);

/* As ek_run_features for each of `count` inputs. Statuses: EK_ERR_STATE without a head. */
ek_status ek_program_features(const ek_program *program, const int8_t *inputs, int8_t *features,
                              size_t count);

#endif
