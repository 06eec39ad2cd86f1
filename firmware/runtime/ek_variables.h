/* Variables of a model that streams: what stays in the arena from one inference to the next.
 * Bytes: CONTAINER.md, section "Variables". */
#ifndef EK_VARIABLES_H
#define EK_VARIABLES_H

#include "ek.h"

/* Gives every variable the value that the inference computed for it. */
void ek_variables_step(const ek_image *image, uint8_t *arena);

#endif
