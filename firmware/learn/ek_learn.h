/* The trained head in persistent memory: two halves of the learn region, written in turn, keyed by
 * image id. Record: "EKLH", u16 version 1, u16 classes, u32 features, u32 sequence, image id 32,
 * floats, CRC-32. */
#ifndef EK_LEARN_H
#define EK_LEARN_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"
#include "ek_train.h"

/* Fills the head with what was trained for this image. EK_ERR_STATE: nothing was. */
ek_status ek_learn_load(const uint8_t image[32], const ek_trainer *head);

/* Stores the head; until it is whole, the one before stays in force. EK_ERR_SPACE, EK_ERR_FLASH. */
ek_status ek_learn_store(const uint8_t image[32], const ek_trainer *head);

#endif
