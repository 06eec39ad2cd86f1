#include "ek_learn.h"

#include <stdbool.h>
#include <string.h>

#include "../link/ek_frame.h"
#include "../link/ek_wire.h"
#include "board.h"
#include "ek_port.h"

#define HALF_BYTES (EK_FLASH_LEARN_BYTES / 2U)
#define RECORD_HEAD_BYTES 48U
#define PIECE_WORDS 32U

#define EK_LEARN_HEAD 1U
#define EK_LEARN_PARTS 2U
#define EK_LEARN_ROUND 3U
#define ROUND_WORDS 3U

_Static_assert(HALF_BYTES % EK_FLASH_PAGE_BYTES == 0, "half of the learn region is whole pages");

static size_t half_offset(size_t half) {
    return EK_FLASH_LEARN_OFFSET + half * HALF_BYTES;
}

/* Words behind a record's head; HALF_BYTES, which never fits, for what is no record. */
static size_t record_words(const uint8_t *record) {
    const uint32_t a = ek_wire_get_u16(record + 6);
    const uint32_t b = ek_wire_get_u32(record + 8);
    const uint32_t version = ek_wire_get_u16(record + 4);
    if (memcmp(record, "EKLH", 4) != 0 || b >= HALF_BYTES) {
        return HALF_BYTES;
    }
    if (version == EK_LEARN_PARTS) {
        return b;
    }
    if (a == 0U || b >= HALF_BYTES / a) {
        return HALF_BYTES;
    }
    const size_t head = (size_t)a * b + a;
    return version == EK_LEARN_HEAD    ? head
           : version == EK_LEARN_ROUND ? 2U * head + ROUND_WORDS
                                       : HALF_BYTES;
}

/* Proves the record of one half: shape, length, CRC. */
static bool record_is_valid(size_t half) {
    const uint8_t *record = ek_port_flash_base() + half_offset(half);
    const size_t covered = RECORD_HEAD_BYTES + 4U * record_words(record);
    return covered + 4U <= HALF_BYTES &&
           ek_wire_get_u32(record + covered) == ek_crc32(0, record, covered);
}

/* The half with the newest valid record; 2 if there is none. */
static size_t find_newest(uint32_t *sequence) {
    size_t found = 2;
    *sequence = 0;
    for (size_t half = 0; half < 2U; half++) {
        if (record_is_valid(half)) {
            const uint32_t here = ek_wire_get_u32(ek_port_flash_base() + half_offset(half) + 12);
            if (found == 2U || here > *sequence) {
                found = half;
                *sequence = here;
            }
        }
    }
    return found;
}

static size_t words_of(const ek_learn_part *parts, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += parts[i].count;
    }
    return count;
}

/* What a record begins with: its kind and shape. */
typedef struct record_kind {
    uint16_t version;
    uint16_t a;
    uint32_t b;
} record_kind;

/* True if a record is of this image and kind; that of a round begins as that of a head. */
static bool record_is(const uint8_t *record, const uint8_t image[32], record_kind kind) {
    const uint16_t version = ek_wire_get_u16(record + 4);
    return memcmp(record + 16, image, 32) == 0 && ek_wire_get_u16(record + 6) == kind.a &&
           ek_wire_get_u32(record + 8) == kind.b &&
           (version == kind.version ||
            (version == EK_LEARN_ROUND && kind.version == EK_LEARN_HEAD));
}

/* The words of the newest record, if it is of this image and kind. */
static const uint8_t *find(const uint8_t image[32], record_kind kind) {
    uint32_t sequence = 0;
    const size_t half = find_newest(&sequence);
    const uint8_t *record = ek_port_flash_base() + half_offset(half);
    return half < 2U && record_is(record, image, kind) ? record + RECORD_HEAD_BYTES : NULL;
}

static ek_status load(const uint8_t image[32], record_kind kind, const ek_learn_part *parts,
                      size_t n) {
    const uint8_t *at = find(image, kind);
    if (at == NULL) {
        return EK_ERR_STATE;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < parts[i].count; j++) {
            const uint32_t word = ek_wire_get_u32(at + 4U * j);
            memcpy((uint8_t *)parts[i].words + 4U * j, &word, sizeof word);
        }
        at += 4U * parts[i].count;
    }
    return EK_OK;
}

/* Writes a part at offset and continues crc over it. */
static ek_status write_part(size_t offset, const ek_learn_part *part, uint32_t *crc) {
    uint8_t piece[PIECE_WORDS * 4U];
    ek_status status = EK_OK;
    for (size_t at = 0; at < part->count && status == EK_OK; at += PIECE_WORDS) {
        const size_t count = part->count - at < PIECE_WORDS ? part->count - at : PIECE_WORDS;
        for (size_t i = 0; i < count; i++) {
            uint32_t word;
            memcpy(&word, (const uint8_t *)part->words + 4U * (at + i), sizeof word);
            ek_wire_put_u32(piece + 4U * i, word);
        }
        *crc = ek_crc32(*crc, piece, 4U * count);
        status = ek_port_flash_write(offset + 4U * at, piece, 4U * count);
    }
    return status;
}

static ek_status space_for(size_t words) {
    return words > HALF_BYTES / 4U || RECORD_HEAD_BYTES + 4U * words + 4U > HALF_BYTES
               ? EK_ERR_SPACE
               : EK_OK;
}

/* Begins a record in round->half. */
static ek_status begin(ek_learn_round *round, const uint8_t image[32], record_kind kind) {
    uint8_t record_head[RECORD_HEAD_BYTES];
    uint32_t sequence = 0;
    (void)find_newest(&sequence);
    memcpy(record_head, "EKLH", 4);
    ek_wire_put_u16(record_head + 4, kind.version);
    ek_wire_put_u16(record_head + 6, kind.a);
    ek_wire_put_u32(record_head + 8, kind.b);
    ek_wire_put_u32(record_head + 12, sequence + 1U);
    memcpy(record_head + 16, image, 32);
    round->crc = ek_crc32(0, record_head, sizeof record_head);
    round->offset = half_offset(round->half);
    ek_status status = ek_port_flash_erase(round->offset, HALF_BYTES);
    if (status == EK_OK) {
        status = ek_port_flash_write(round->offset, record_head, sizeof record_head);
    }
    round->offset += RECORD_HEAD_BYTES;
    return status;
}

static ek_status append(ek_learn_round *round, const ek_learn_part *parts, size_t n) {
    ek_status status = EK_OK;
    for (size_t i = 0; i < n && status == EK_OK; i++) {
        status = write_part(round->offset, &parts[i], &round->crc);
        round->offset += 4U * parts[i].count;
    }
    return status;
}

static ek_status end(const ek_learn_round *round) {
    uint8_t tail[4];
    ek_wire_put_u32(tail, round->crc);
    const ek_status status = ek_port_flash_write(round->offset, tail, sizeof tail);
    return status == EK_OK && !record_is_valid(round->half) ? EK_ERR_FLASH : status;
}

static ek_status store(const uint8_t image[32], record_kind kind, const ek_learn_part *parts,
                       size_t n) {
    ek_learn_round round;
    uint32_t sequence = 0;
    ek_status status = space_for(words_of(parts, n));
    if (status == EK_OK) {
        round.half = find_newest(&sequence) == 0U ? 1U : 0U;
        status = begin(&round, image, kind);
    }
    if (status == EK_OK) {
        status = append(&round, parts, n);
    }
    return status == EK_OK ? end(&round) : status;
}

static record_kind head_kind(const ek_trainer *head, ek_learn_part parts[2]) {
    parts[0].words = head->weights;
    parts[0].count = (size_t)head->classes * head->features;
    parts[1].words = head->bias;
    parts[1].count = head->classes;
    const record_kind kind = {EK_LEARN_HEAD, (uint16_t)head->classes, head->features};
    return kind;
}

static record_kind parts_kind(const ek_learn_part *parts, size_t n) {
    const record_kind kind = {EK_LEARN_PARTS, 0, (uint32_t)words_of(parts, n)};
    return kind;
}

const uint8_t *ek_learn_head(const uint8_t image[32], uint32_t classes, uint32_t features) {
    const record_kind kind = {EK_LEARN_HEAD, (uint16_t)classes, features};
    return find(image, kind);
}

ek_status ek_learn_store(const uint8_t image[32], const ek_trainer *head) {
    ek_learn_part parts[2];
    const record_kind kind = head_kind(head, parts);
    return store(image, kind, parts, 2);
}

ek_status ek_learn_load_parts(const uint8_t image[32], const ek_learn_part *parts, size_t n) {
    return load(image, parts_kind(parts, n), parts, n);
}

ek_status ek_learn_store_parts(const uint8_t image[32], const ek_learn_part *parts, size_t n) {
    return store(image, parts_kind(parts, n), parts, n);
}

ek_status ek_learn_round_fits(size_t parameters) {
    return parameters > HALF_BYTES ? EK_ERR_SPACE : space_for(2U * parameters + ROUND_WORDS);
}

/* What the newest record of an earlier round of this run left out; its half stays. */
static void find_left_out(ek_learn_round *round, const uint8_t image[32], record_kind kind) {
    uint32_t sequence = 0;
    const size_t words = (size_t)kind.a * kind.b + kind.a;
    round->half = find_newest(&sequence) == 0U ? 1U : 0U;
    round->left_out = NULL;
    sequence = 0;
    for (size_t half = 0; half < 2U; half++) {
        const uint8_t *record = ek_port_flash_base() + half_offset(half);
        if (!record_is_valid(half) || !record_is(record, image, kind) ||
            ek_wire_get_u32(record + 12) <= sequence) {
            continue;
        }
        const uint8_t *said = record + RECORD_HEAD_BYTES + 4U * words;
        if (ek_wire_get_u64(said) == round->run && ek_wire_get_u32(said + 8) < round->round) {
            sequence = ek_wire_get_u32(record + 12);
            round->left_out = said + 4U * ROUND_WORDS;
            round->half = 1U - half;
        }
    }
}

ek_status ek_learn_round_begin(ek_learn_round *round, const uint8_t image[32],
                               const ek_trainer *head) {
    ek_learn_part parts[3];
    uint32_t said[ROUND_WORDS] = {(uint32_t)round->run, (uint32_t)(round->run >> 32), round->round};
    record_kind kind = head_kind(head, parts);
    ek_status status = ek_learn_round_fits(words_of(parts, 2));
    if (status != EK_OK) {
        return status;
    }
    kind.version = EK_LEARN_ROUND;
    parts[2].words = said;
    parts[2].count = ROUND_WORDS;
    find_left_out(round, image, kind);
    status = begin(round, image, kind);
    return status == EK_OK ? append(round, parts, 3) : status;
}

ek_status ek_learn_round_end(ek_learn_round *round, float *left_out, size_t count) {
    const ek_learn_part part = {left_out, count};
    const ek_status status = append(round, &part, 1);
    return status == EK_OK ? end(round) : status;
}
