/* Installing a model image into the slot that is not running, and switching to it by one state
 * record. */
#ifndef EK_SLOT_H
#define EK_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../link/ek_message.h"
#include "ek.h"
#include "ek_state.h"
#include "ek_status.h"

#define EK_BLOCKS_MAX 128U

/* An installation under way. The block list stays in RAM. */
typedef struct ek_install {
    uint8_t slot;
    uint8_t image[32];
    uint32_t image_bytes;
    uint64_t counter;
    uint32_t arena_bytes;
    uint32_t done; /* bytes written and proven */
    uint8_t list[EK_BLOCKS_MAX * 32U];
} ek_install;

/* First byte of a slot, and its size. */
const uint8_t *ek_slot_bytes(uint8_t slot);
size_t ek_slot_capacity(uint8_t slot);

/* Proves a release before anything is written: signature, class, kernel set, counter, expiry,
 * sizes. time_s: server time. Statuses: EK_ERR_SIGNATURE, EK_ERR_CBOR and others of
 * ek_manifest_read, EK_ERR_CLASS, EK_ERR_COUNTER, EK_ERR_EXPIRED, EK_ERR_SPACE, EK_ERR_ARENA. */
ek_status ek_release_check(const ek_state *state, const ek_manifest *manifest, uint64_t time_s);
ek_status ek_release_open(ek_view manifest_bytes, const uint8_t signature[64],
                          const uint8_t release_key[32], ek_manifest *manifest);

/* Chooses the slot that is not running; its record stays until the switch, as its hash tells
 * whether what is there still holds. */
ek_status ek_install_start(ek_install *install, const ek_state *state, const ek_manifest *manifest);

/* Bytes of the block list of this installation. */
uint32_t ek_install_list_bytes(const ek_install *install);

/* Proves the block list, which lies in install->list, and finds the leading blocks that an
 * interrupted installation left in the slot; done says how far. EK_ERR_HASH. */
ek_status ek_install_list(ek_install *install, const uint8_t list_digest[32]);

/* Proves the next block and writes it. EK_ERR_HASH, EK_ERR_FLASH. */
ek_status ek_install_block(ek_install *install, const uint8_t *bytes, uint32_t n);

/* Proves the whole: image id, structure, arena, golden vectors; then switches by one record of
 * state. arena: EK_ARENA_BYTES. image receives the open image. Nothing has changed unless EK_OK. */
ek_status ek_install_finish(const ek_install *install, ek_state *state, uint8_t *arena,
                            ek_image *image);

/* Opens what a slot record names: id, structure, arena. */
ek_status ek_slot_open(uint8_t slot, const ek_slot_record *record, ek_image *image);

/* Opens the active image; if it is damaged, the other slot's; if there is no record, an image that
 * was flashed by hand (its golden vectors are run first). Saves the state if it changes.
 * EK_ERR_STATE: there is no model. */
ek_status ek_slot_boot(ek_state *state, uint8_t *arena, ek_image *image);

#endif
