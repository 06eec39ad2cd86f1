/* What was learnt, in persistent memory: two halves of the learn region, written in turn, keyed by
 * image id. Record: "EKLH", u16 version, u16 a, u32 b, u32 sequence, image id 32, words, CRC-32.
 * Version 1, the head of a federated round: a classes, b features, weights and bias. Version 2, a
 * head that learns by itself: a 0, b words; what ek_online_state and its statistics hold. */
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

/* A piece of memory of whole words. */
typedef struct ek_learn_part {
    void *words;
    size_t count;
} ek_learn_part;

/* Fills the parts, one behind the other, with what was stored for this image. EK_ERR_STATE: nothing
 * of this size was, or a head of a federated round came later. */
ek_status ek_learn_load_parts(const uint8_t image[32], const ek_learn_part *parts, size_t n);

/* Stores the parts; until they are whole, what was before stays in force. EK_ERR_SPACE,
 * EK_ERR_FLASH. */
ek_status ek_learn_store_parts(const uint8_t image[32], const ek_learn_part *parts, size_t n);

#endif
