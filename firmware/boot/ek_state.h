/* What the device must not forget: boot counter, keys, slots, refusals.
 * Two state pages hold records of EK_STATE_RECORD_BYTES, each a whole copy with sequence and CRC;
 * the valid record with the highest sequence counts. A full page is left alone until the other one
 * holds a newer record, so a power cut at any flash operation leaves the old or the new state. */
#ifndef EK_STATE_H
#define EK_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_STATE_RECORD_BYTES 256U
#define EK_SLOT_NONE 0xffU

/* What a slot was last proven to hold; bytes 0: nothing. */
typedef struct ek_slot_record {
    uint8_t image[32];
    uint32_t bytes;
    uint64_t counter;
} ek_slot_record;

typedef struct ek_state {
    uint64_t sequence; /* of the record it came from */
    uint32_t boot;
    bool has_claim_secret;
    bool claimed;
    uint8_t token[8]; /* id of the token of this claim; another one in the page starts anew */
    uint8_t claim_secret[32]; /* X25519; made once, so that a repeated claim is the same claim */
    uint8_t device_key[32];
    uint8_t active; /* 0, 1 or EK_SLOT_NONE */
    ek_slot_record slots[2];
    uint64_t highest; /* release counter ever installed */
    bool has_refused;
    uint8_t refused_image[32];
    uint64_t refused_counter;
    ek_status refused_status;
} ek_state;

/* Reads the newest valid record; a device without one starts empty. */
void ek_state_load(ek_state *state);

/* Appends the state as a new record and raises its sequence. EK_ERR_FLASH: the old state stays in
 * force. */
ek_status ek_state_save(ek_state *state);

#endif
