/* What was learnt, in persistent memory: two halves of the learn region, written in turn, keyed by
 * image id. Record: "EKLH", u16 version, u16 a, u32 b, u32 sequence, image id 32, words, CRC-32.
 * Version 1, the head of a federated round: a classes, b features, weights and bias. Version 2, a
 * head that learns by itself: a 0, b words; what ek_online_state and its statistics hold. Version
 * 3, as version 1, then run u64, round u32, and what the update of that round left out. */
#ifndef EK_LEARN_H
#define EK_LEARN_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"
#include "ek_train.h"

/* Where weights and bias lie that were trained last for this image, little-endian float32; NULL if
 * nothing was, or a head that learns by itself came later. */
const uint8_t *ek_learn_head(const uint8_t image[32], uint32_t classes, uint32_t features);

/* Stores the head; until it is whole, the one before stays in force. EK_ERR_SPACE, EK_ERR_FLASH. */
ek_status ek_learn_store(const uint8_t image[32], const ek_trainer *head);

/* A record of version 3 on its way to the flash: the head is written while it is in memory, what
 * was left out when it is known. */
typedef struct ek_learn_round {
    uint64_t run;
    uint32_t round;
    const uint8_t *left_out; /* by the update before, little-endian float32; NULL: nothing was */
    size_t half;
    size_t offset; /* of what comes next */
    uint32_t crc;
} ek_learn_round;

/* EK_ERR_SPACE if a head of so many parameters does not fit with what was left out. */
ek_status ek_learn_round_fits(size_t parameters);

/* Stores the head and finds what the update of an earlier round of this run left out; run and round
 * are given. The same round once more gets the same. EK_ERR_SPACE, EK_ERR_FLASH. */
ek_status ek_learn_round_begin(ek_learn_round *round, const uint8_t image[32],
                               const ek_trainer *head);

/* Stores what is left out now, as many numbers as the head has; until then the record before stays
 * in force. EK_ERR_FLASH. */
ek_status ek_learn_round_end(ek_learn_round *round, float *left_out, size_t count);

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
