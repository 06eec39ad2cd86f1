#include "ek_state.h"

#include <string.h>

#include "../link/ek_frame.h"
#include "../link/ek_wire.h"
#include "board.h"
#include "ek_port.h"

#define PAGE_BYTES (EK_FLASH_STATE_BYTES / 2U)
#define RECORDS (PAGE_BYTES / EK_STATE_RECORD_BYTES) /* per page */
#define CRC_AT (EK_STATE_RECORD_BYTES - 4U)
#define FLAG_CLAIM_SECRET 1U
#define FLAG_CLAIMED 2U
#define FLAG_REFUSED 4U

_Static_assert(PAGE_BYTES % EK_FLASH_PAGE_BYTES == 0, "a state page is made of whole flash pages");

/* Record: "EKST", u16 version 1, u8 flags, u8 active, u64 sequence, u32 boot, u32 refused status as
 * -n, claim secret 32, device key 32, two slots {image 32, u32 bytes, u64 counter}, u64 highest,
 * refused image 32, u64 refused counter, zeros, CRC-32 at the end. */
static void slot_write(uint8_t *out, const ek_slot_record *slot) {
    memcpy(out, slot->image, 32);
    ek_wire_put_u32(out + 32, slot->bytes);
    ek_wire_put_u64(out + 36, slot->counter);
}

static void slot_read(const uint8_t *bytes, ek_slot_record *slot) {
    memcpy(slot->image, bytes, 32);
    slot->bytes = ek_wire_get_u32(bytes + 32);
    slot->counter = ek_wire_get_u64(bytes + 36);
}

static void record_write(const ek_state *state, uint8_t out[EK_STATE_RECORD_BYTES]) {
    unsigned flags = state->has_claim_secret ? FLAG_CLAIM_SECRET : 0U;
    flags |= state->claimed ? FLAG_CLAIMED : 0U;
    flags |= state->has_refused ? FLAG_REFUSED : 0U;
    memset(out, 0, EK_STATE_RECORD_BYTES);
    memcpy(out, "EKST", 4);
    ek_wire_put_u16(out + 4, 1);
    out[6] = (uint8_t)flags;
    out[7] = state->active;
    ek_wire_put_u64(out + 8, state->sequence);
    ek_wire_put_u32(out + 16, state->boot);
    ek_wire_put_u32(out + 20, (uint32_t)(-(int32_t)state->refused_status));
    memcpy(out + 24, state->claim_secret, 32);
    memcpy(out + 56, state->device_key, 32);
    slot_write(out + 88, &state->slots[0]);
    slot_write(out + 132, &state->slots[1]);
    ek_wire_put_u64(out + 176, state->highest);
    memcpy(out + 184, state->refused_image, 32);
    ek_wire_put_u64(out + 216, state->refused_counter);
    memcpy(out + 224, state->token, 8);
    ek_wire_put_u32(out + CRC_AT, ek_crc32(0, out, CRC_AT));
}

static bool record_is_valid(const uint8_t *record) {
    return memcmp(record, "EKST", 4) == 0 && ek_wire_get_u16(record + 4) == 1U &&
           ek_wire_get_u32(record + CRC_AT) == ek_crc32(0, record, CRC_AT);
}

static bool record_is_blank(const uint8_t *record) {
    for (size_t i = 0; i < EK_STATE_RECORD_BYTES; i++) {
        if (record[i] != 0xffU) {
            return false;
        }
    }
    return true;
}

static void record_read(const uint8_t *record, ek_state *state) {
    state->has_claim_secret = (record[6] & FLAG_CLAIM_SECRET) != 0U;
    state->claimed = (record[6] & FLAG_CLAIMED) != 0U;
    state->has_refused = (record[6] & FLAG_REFUSED) != 0U;
    state->active = record[7] <= 1U ? record[7] : (uint8_t)EK_SLOT_NONE;
    state->sequence = ek_wire_get_u64(record + 8);
    state->boot = ek_wire_get_u32(record + 16);
    state->refused_status = (ek_status)(-(int32_t)(ek_wire_get_u32(record + 20) & 0xffU));
    memcpy(state->claim_secret, record + 24, 32);
    memcpy(state->device_key, record + 56, 32);
    slot_read(record + 88, &state->slots[0]);
    slot_read(record + 132, &state->slots[1]);
    state->highest = ek_wire_get_u64(record + 176);
    memcpy(state->refused_image, record + 184, 32);
    state->refused_counter = ek_wire_get_u64(record + 216);
    memcpy(state->token, record + 224, 8);
}

static size_t record_offset(size_t page, size_t index) {
    return EK_FLASH_STATE_OFFSET + page * PAGE_BYTES + index * EK_STATE_RECORD_BYTES;
}

/* Finds the newest valid record; returns its page, or 2 if there is none. */
static size_t find_newest(size_t *index) {
    size_t found = 2;
    uint64_t newest = 0;
    for (size_t page = 0; page < 2U; page++) {
        for (size_t i = 0; i < RECORDS; i++) {
            const uint8_t *record = ek_port_flash_base() + record_offset(page, i);
            if (record_is_valid(record) && ek_wire_get_u64(record + 8) >= newest) {
                newest = ek_wire_get_u64(record + 8);
                found = page;
                *index = i;
            }
        }
    }
    return found;
}

void ek_state_load(ek_state *state) {
    size_t index = 0;
    size_t page = find_newest(&index);
    memset(state, 0, sizeof *state);
    state->active = EK_SLOT_NONE;
    if (page < 2U) {
        record_read(ek_port_flash_base() + record_offset(page, index), state);
    }
}

/* Writes into one blank cell and reads it back. */
static ek_status record_put(size_t page, size_t index, const uint8_t *record) {
    size_t offset = record_offset(page, index);
    ek_status status = ek_port_flash_write(offset, record, EK_STATE_RECORD_BYTES);
    if (status != EK_OK) {
        return status;
    }
    return memcmp(ek_port_flash_base() + offset, record, EK_STATE_RECORD_BYTES) == 0 ? EK_OK
                                                                                     : EK_ERR_FLASH;
}

ek_status ek_state_save(ek_state *state) {
    uint8_t record[EK_STATE_RECORD_BYTES];
    size_t index = 0;
    size_t page = find_newest(&index);
    state->sequence++;
    record_write(state, record);
    if (page < 2U) {
        /* A cell spoilt by a cut or a bad write is passed over. */
        for (size_t i = index + 1U; i < RECORDS; i++) {
            if (record_is_blank(ek_port_flash_base() + record_offset(page, i)) &&
                record_put(page, i, record) == EK_OK) {
                return EK_OK;
            }
        }
    }
    page = page == 0U ? 1U : 0U;
    ek_status status = ek_port_flash_erase(record_offset(page, 0), PAGE_BYTES);
    for (size_t i = 0; i < RECORDS && status == EK_OK; i++) {
        if (record_put(page, i, record) == EK_OK) {
            return EK_OK;
        }
    }
    return EK_ERR_FLASH;
}
