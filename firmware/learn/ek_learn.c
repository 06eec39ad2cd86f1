#include "ek_learn.h"

#include <stdbool.h>
#include <string.h>

#include "../link/ek_frame.h"
#include "../link/ek_wire.h"
#include "board.h"
#include "ek_exchange.h"
#include "ek_port.h"

#define HALF_BYTES (EK_FLASH_LEARN_BYTES / 2U)
#define RECORD_HEAD_BYTES 48U
#define PIECE_FLOATS 32U

_Static_assert(HALF_BYTES % EK_FLASH_PAGE_BYTES == 0, "half of the learn region is whole pages");

static size_t half_offset(size_t half) {
    return EK_FLASH_LEARN_OFFSET + half * HALF_BYTES;
}

/* Proves the record of one half: shape, length, CRC. */
static bool record_is_valid(size_t half, size_t *float_bytes) {
    const uint8_t *record = ek_port_flash_base() + half_offset(half);
    if (memcmp(record, "EKLH", 4) != 0 || ek_wire_get_u16(record + 4) != 1U) {
        return false;
    }
    const uint32_t classes = ek_wire_get_u16(record + 6);
    const uint32_t features = ek_wire_get_u32(record + 8);
    if (classes == 0U || features >= HALF_BYTES / 4U / classes) {
        return false;
    }
    *float_bytes = ek_head_float_bytes(classes, features);
    const size_t covered = RECORD_HEAD_BYTES + *float_bytes;
    return covered + 4U <= HALF_BYTES &&
           ek_wire_get_u32(record + covered) == ek_crc32(0, record, covered);
}

/* The half with the newest valid record; 2 if there is none. */
static size_t find_newest(uint32_t *sequence) {
    size_t found = 2;
    *sequence = 0;
    for (size_t half = 0; half < 2U; half++) {
        size_t float_bytes = 0;
        if (record_is_valid(half, &float_bytes)) {
            const uint32_t here = ek_wire_get_u32(ek_port_flash_base() + half_offset(half) + 12);
            if (found == 2U || here > *sequence) {
                found = half;
                *sequence = here;
            }
        }
    }
    return found;
}

ek_status ek_learn_load(const uint8_t image[32], const ek_trainer *head) {
    uint32_t sequence = 0;
    const size_t half = find_newest(&sequence);
    if (half == 2U) {
        return EK_ERR_STATE;
    }
    const uint8_t *record = ek_port_flash_base() + half_offset(half);
    if (memcmp(record + 16, image, 32) != 0 || ek_wire_get_u16(record + 6) != head->classes ||
        ek_wire_get_u32(record + 8) != head->features) {
        return EK_ERR_STATE;
    }
    ek_head_floats_read(record + RECORD_HEAD_BYTES, head);
    return EK_OK;
}

/* Writes n floats at offset and continues crc over them. */
static ek_status write_floats(size_t offset, const float *values, size_t n, uint32_t *crc) {
    uint8_t piece[PIECE_FLOATS * 4U];
    ek_status status = EK_OK;
    for (size_t at = 0; at < n && status == EK_OK; at += PIECE_FLOATS) {
        const size_t count = n - at < PIECE_FLOATS ? n - at : PIECE_FLOATS;
        for (size_t i = 0; i < count; i++) {
            ek_wire_put_f32(piece + 4U * i, values[at + i]);
        }
        *crc = ek_crc32(*crc, piece, 4U * count);
        status = ek_port_flash_write(offset + 4U * at, piece, 4U * count);
    }
    return status;
}

ek_status ek_learn_store(const uint8_t image[32], const ek_trainer *head) {
    uint8_t record_head[RECORD_HEAD_BYTES];
    uint8_t tail[4];
    uint32_t sequence = 0;
    size_t float_bytes = ek_head_float_bytes(head->classes, head->features);
    if (RECORD_HEAD_BYTES + float_bytes + 4U > HALF_BYTES) {
        return EK_ERR_SPACE;
    }
    const size_t half = find_newest(&sequence) == 0U ? 1U : 0U;
    memcpy(record_head, "EKLH", 4);
    ek_wire_put_u16(record_head + 4, 1);
    ek_wire_put_u16(record_head + 6, (uint16_t)head->classes);
    ek_wire_put_u32(record_head + 8, head->features);
    ek_wire_put_u32(record_head + 12, sequence + 1U);
    memcpy(record_head + 16, image, 32);
    uint32_t crc = ek_crc32(0, record_head, sizeof record_head);
    const size_t offset = half_offset(half);
    const size_t weights = (size_t)head->classes * head->features;
    const size_t floats = offset + RECORD_HEAD_BYTES;
    ek_status status = ek_port_flash_erase(offset, HALF_BYTES);
    if (status == EK_OK) {
        status = ek_port_flash_write(offset, record_head, sizeof record_head);
    }
    if (status == EK_OK) {
        status = write_floats(floats, head->weights, weights, &crc);
    }
    if (status == EK_OK) {
        status = write_floats(floats + 4U * weights, head->bias, head->classes, &crc);
    }
    ek_wire_put_u32(tail, crc);
    if (status == EK_OK) {
        status = ek_port_flash_write(floats + float_bytes, tail, sizeof tail);
    }
    if (status == EK_OK && !record_is_valid(half, &float_bytes)) {
        status = EK_ERR_FLASH;
    }
    return status;
}
