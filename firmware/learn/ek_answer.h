/* What a classifier says: the strongest of its outputs, and how sure it is. */
#ifndef EK_ANSWER_H
#define EK_ANSWER_H

#include "ek.h"

/* label: the first of the largest outputs. score: its probability; of logits by softmax, of outputs
 * that softmax made (scale 1/256, zero point -128) as it is; of a single output its value. output:
 * of ek_run. Equal in every bit on every machine. Statuses: EK_ERR_SHAPE if the outputs are no
 * int8. */
ek_status ek_answer(const ek_image *image, const int8_t *output, uint32_t *label, float *score);

#endif
