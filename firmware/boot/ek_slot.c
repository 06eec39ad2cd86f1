#include "ek_slot.h"

#include <string.h>

#include "../crypto/ek_ed25519.h"
#include "board.h"
#include "ek_port.h"
#include "monocypher.h"

_Static_assert(EK_BLOCK_BYTES % EK_FLASH_PAGE_BYTES == 0, "a block is made of whole flash pages");
_Static_assert(EK_FLASH_SLOT_A_BYTES % EK_BLOCK_BYTES == 0, "a slot is made of whole blocks");
_Static_assert(EK_FLASH_SLOT_B_BYTES % EK_BLOCK_BYTES == 0, "a slot is made of whole blocks");

/* Bytes written in one flash operation. */
#define WRITE_BYTES 256U

static size_t slot_offset(uint8_t slot) {
    return slot == 0U ? EK_FLASH_SLOT_A_OFFSET : EK_FLASH_SLOT_B_OFFSET;
}

const uint8_t *ek_slot_bytes(uint8_t slot) {
    return ek_port_flash_base() + slot_offset(slot);
}

size_t ek_slot_capacity(uint8_t slot) {
    return slot == 0U ? EK_FLASH_SLOT_A_BYTES : EK_FLASH_SLOT_B_BYTES;
}

static uint8_t inactive_slot(const ek_state *state) {
    return state->active == 0U ? 1U : 0U;
}

static bool hash_matches(const uint8_t *bytes, size_t n, const uint8_t expected[32]) {
    uint8_t digest[32];
    crypto_blake2b(digest, sizeof digest, bytes, n);
    return crypto_verify32(digest, expected) == 0;
}

ek_status ek_release_open(ek_view manifest_bytes, const uint8_t signature[64],
                          const uint8_t release_key[32], ek_manifest *manifest) {
    ek_status status = ek_ed25519_check(signature, release_key, "ek-manifest-1",
                                        manifest_bytes.bytes, manifest_bytes.n);
    if (status != EK_OK) {
        return status;
    }
    return ek_manifest_read(manifest_bytes.bytes, manifest_bytes.n, manifest);
}

/* True if a slot was proven to hold this very release: its image must have been damaged since. */
static bool was_installed(const ek_state *state, const ek_manifest *manifest) {
    for (size_t i = 0; i < 2U; i++) {
        const ek_slot_record *slot = &state->slots[i];
        if (slot->bytes == manifest->image_bytes && slot->counter == manifest->counter &&
            memcmp(slot->image, manifest->image, 32) == 0) {
            return true;
        }
    }
    return false;
}

ek_status ek_release_check(const ek_state *state, const ek_manifest *manifest, uint64_t time_s) {
    static const uint8_t kernel_set[8] = EK_KERNEL_SET_HASH_BYTES;
    static const char board[] = EK_BOARD_NAME;
    const uint8_t slot = inactive_slot(state);
    if (manifest->device_class.n != sizeof board - 1U ||
        memcmp(manifest->device_class.bytes, board, sizeof board - 1U) != 0 ||
        memcmp(manifest->kernel_set, kernel_set, sizeof kernel_set) != 0) {
        return EK_ERR_CLASS;
    }
    if (manifest->counter < state->highest ||
        (manifest->counter == state->highest && !was_installed(state, manifest))) {
        return EK_ERR_COUNTER;
    }
    if (manifest->expiry_s <= time_s) {
        return EK_ERR_EXPIRED;
    }
    if (manifest->image_bytes == 0U || manifest->image_bytes > ek_slot_capacity(slot) ||
        manifest->image_bytes > EK_BLOCKS_MAX * EK_BLOCK_BYTES) {
        return EK_ERR_SPACE;
    }
    return manifest->arena_bytes <= EK_ARENA_BYTES ? EK_OK : EK_ERR_ARENA;
}

ek_status ek_install_start(ek_install *install, const ek_state *state,
                           const ek_manifest *manifest) {
    install->slot = inactive_slot(state);
    memcpy(install->image, manifest->image, 32);
    install->image_bytes = manifest->image_bytes;
    install->counter = manifest->counter;
    install->arena_bytes = manifest->arena_bytes;
    install->done = 0;
    return manifest->image_bytes <= ek_slot_capacity(install->slot) ? EK_OK : EK_ERR_SPACE;
}

uint32_t ek_install_list_bytes(const ek_install *install) {
    return (install->image_bytes + EK_BLOCK_BYTES - 1U) / EK_BLOCK_BYTES * 32U;
}

static uint32_t block_length(const ek_install *install, uint32_t offset) {
    uint32_t rest = install->image_bytes - offset;
    return rest < EK_BLOCK_BYTES ? rest : EK_BLOCK_BYTES;
}

static const uint8_t *block_hash(const ek_install *install, uint32_t offset) {
    return install->list + (size_t)(offset / EK_BLOCK_BYTES) * 32U;
}

ek_status ek_install_list(ek_install *install, const uint8_t list_digest[32]) {
    if (!hash_matches(install->list, ek_install_list_bytes(install), list_digest)) {
        return EK_ERR_HASH;
    }
    const uint8_t *bytes = ek_slot_bytes(install->slot);
    install->done = 0;
    while (install->done < install->image_bytes) {
        uint32_t n = block_length(install, install->done);
        if (!hash_matches(bytes + install->done, n, block_hash(install, install->done))) {
            break;
        }
        install->done += n;
    }
    return EK_OK;
}

ek_status ek_install_block(ek_install *install, const uint8_t *bytes, uint32_t n) {
    if (install->done >= install->image_bytes || n != block_length(install, install->done)) {
        return EK_ERR_RANGE;
    }
    if (!hash_matches(bytes, n, block_hash(install, install->done))) {
        return EK_ERR_HASH;
    }
    size_t offset = slot_offset(install->slot) + install->done;
    ek_status status = ek_port_flash_erase(offset, EK_BLOCK_BYTES);
    for (uint32_t at = 0; at < n && status == EK_OK; at += WRITE_BYTES) {
        uint32_t rest = n - at;
        status =
            ek_port_flash_write(offset + at, bytes + at, rest < WRITE_BYTES ? rest : WRITE_BYTES);
    }
    if (status != EK_OK || memcmp(ek_port_flash_base() + offset, bytes, n) != 0) {
        return EK_ERR_FLASH;
    }
    install->done += n;
    return EK_OK;
}

ek_status ek_slot_open(uint8_t slot, const ek_slot_record *record, ek_image *image) {
    if (record->bytes == 0U || record->bytes > ek_slot_capacity(slot)) {
        return EK_ERR_STATE;
    }
    if (!hash_matches(ek_slot_bytes(slot), record->bytes, record->image)) {
        return EK_ERR_HASH;
    }
    ek_status status = ek_image_open(image, ek_slot_bytes(slot), record->bytes);
    if (status != EK_OK) {
        return status;
    }
    if (ek_image_bytes(image) != record->bytes) {
        return EK_ERR_RANGE;
    }
    return ek_image_arena_bytes(image) <= EK_ARENA_BYTES ? EK_OK : EK_ERR_ARENA;
}

ek_status ek_install_finish(const ek_install *install, ek_state *state, uint8_t *arena,
                            ek_image *image) {
    ek_image opened;
    ek_slot_record record;
    if (install->done != install->image_bytes) {
        return EK_ERR_STATE;
    }
    memcpy(record.image, install->image, 32);
    record.bytes = install->image_bytes;
    record.counter = install->counter;
    ek_status status = ek_slot_open(install->slot, &record, &opened);
    if (status == EK_OK && ek_image_arena_bytes(&opened) > install->arena_bytes) {
        status = EK_ERR_ARENA;
    }
    if (status == EK_OK) {
        status = ek_golden_check(&opened, arena, EK_ARENA_BYTES);
    }
    if (status != EK_OK) {
        return status;
    }
    ek_state next = *state;
    next.active = install->slot;
    next.slots[install->slot] = record;
    next.highest = install->counter;
    next.has_refused = false;
    status = ek_state_save(&next);
    if (status == EK_OK) {
        *state = next;
        *image = opened;
    }
    return status;
}

/* Takes an image that was put into a slot by hand, without a release. */
static ek_status adopt(uint8_t slot, ek_state *state, uint8_t *arena, ek_image *image) {
    ek_status status = ek_image_open(image, ek_slot_bytes(slot), ek_slot_capacity(slot));
    if (status == EK_OK && ek_image_arena_bytes(image) > EK_ARENA_BYTES) {
        status = EK_ERR_ARENA;
    }
    if (status == EK_OK) {
        status = ek_golden_check(image, arena, EK_ARENA_BYTES);
    }
    if (status != EK_OK) {
        return status;
    }
    ek_slot_record *record = &state->slots[slot];
    record->bytes = (uint32_t)ek_image_bytes(image);
    record->counter = 0;
    crypto_blake2b(record->image, 32, ek_slot_bytes(slot), record->bytes);
    state->active = slot;
    return ek_state_save(state);
}

ek_status ek_slot_boot(ek_state *state, uint8_t *arena, ek_image *image) {
    if (state->active == EK_SLOT_NONE) {
        return adopt(0, state, arena, image) == EK_OK || adopt(1, state, arena, image) == EK_OK
                   ? EK_OK
                   : EK_ERR_STATE;
    }
    const uint8_t active = state->active;
    if (ek_slot_open(active, &state->slots[active], image) == EK_OK) {
        return EK_OK;
    }
    const uint8_t other = inactive_slot(state);
    if (ek_slot_open(other, &state->slots[other], image) == EK_OK) {
        state->active = other;
        return ek_state_save(state);
    }
    return EK_ERR_STATE;
}
