#include "ek_chunk.h"

#include <string.h>

static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Which of the two buffers holds the block at this offset. */
static uint32_t block_index(uint32_t offset) {
    return (offset / EK_BLOCK_BYTES) % EK_PULL_BLOCKS;
}

static uint32_t chunk_bit(const ek_pull *pull, uint32_t offset) {
    return 1U << ((offset % EK_BLOCK_BYTES) / pull->chunk_bytes);
}

static uint32_t chunk_length(const ek_pull *pull, uint32_t offset) {
    return smaller(pull->chunk_bytes, pull->total - offset);
}

ek_status ek_pull_start(ek_pull *pull, uint64_t object, uint32_t total, uint32_t start,
                        size_t chunk_bytes) {
    if (chunk_bytes < EK_PULL_CHUNK_MIN || start > total ||
        (start % EK_BLOCK_BYTES != 0U && start != total)) {
        return EK_ERR_RANGE;
    }
    uint32_t chunk = EK_PULL_CHUNK_MIN;
    while (chunk < EK_CHUNK_BYTES_MAX && 2U * chunk <= chunk_bytes) {
        chunk *= 2U;
    }
    pull->object = object;
    pull->total = total;
    pull->chunk_bytes = chunk;
    pull->base = start;
    memset(pull->have, 0, sizeof pull->have);
    memset(pull->slots, 0, sizeof pull->slots);
    return EK_OK;
}

static bool is_asked(const ek_pull *pull, uint32_t offset) {
    for (uint32_t i = 0; i < EK_PULL_WINDOW; i++) {
        if (pull->slots[i].used && pull->slots[i].offset == offset) {
            return true;
        }
    }
    return false;
}

/* Offset of the first chunk within reach that is neither here nor asked for; total if none. */
static uint32_t next_offset(const ek_pull *pull) {
    uint32_t rest = pull->total - pull->base;
    uint32_t reach = smaller(rest, EK_PULL_BLOCKS * EK_BLOCK_BYTES);
    for (uint32_t done = 0; done < reach; done += pull->chunk_bytes) {
        uint32_t offset = pull->base + done;
        bool have = (pull->have[block_index(offset)] & chunk_bit(pull, offset)) != 0U;
        if (!have && !is_asked(pull, offset)) {
            return offset;
        }
    }
    return pull->total;
}

bool ek_pull_next_request(ek_pull *pull, uint64_t now_ms, ek_chunk_request *request) {
    for (uint32_t i = 0; i < EK_PULL_WINDOW; i++) {
        ek_pull_slot *slot = &pull->slots[i];
        if (slot->used) {
            /* 0.7 s, 1.4 s, 2.8 s ... so that a slow link is not drowned. */
            uint32_t wait = EK_PULL_RETRY_MS << smaller(slot->attempts - 1U, 4U);
            if (now_ms - slot->sent_ms < smaller(wait, EK_PULL_RETRY_MAX_MS)) {
                continue;
            }
        } else {
            uint32_t offset = next_offset(pull);
            if (offset >= pull->total) {
                continue;
            }
            slot->used = true;
            slot->offset = offset;
            slot->attempts = 0;
        }
        slot->attempts++;
        slot->sent_ms = now_ms;
        request->object = pull->object;
        request->offset = slot->offset;
        request->length = chunk_length(pull, slot->offset);
        return true;
    }
    return false;
}

ek_status ek_pull_accept(ek_pull *pull, const ek_chunk *chunk) {
    if (chunk->object != pull->object) {
        return EK_ERR_RANGE;
    }
    if (chunk->total == 0U) {
        return EK_ERR_STATE;
    }
    if (chunk->total != pull->total) {
        return EK_ERR_RANGE;
    }
    if (chunk->offset < pull->base) {
        return EK_OK; /* a repeated answer */
    }
    if (chunk->offset - pull->base >= EK_PULL_BLOCKS * EK_BLOCK_BYTES ||
        chunk->offset % pull->chunk_bytes != 0U || chunk->n != chunk_length(pull, chunk->offset)) {
        return EK_ERR_RANGE;
    }
    uint32_t block = block_index(chunk->offset);
    memcpy(pull->buffer + (size_t)block * EK_BLOCK_BYTES + chunk->offset % EK_BLOCK_BYTES,
           chunk->bytes, chunk->n);
    pull->have[block] |= chunk_bit(pull, chunk->offset);
    for (uint32_t i = 0; i < EK_PULL_WINDOW; i++) {
        if (pull->slots[i].used && pull->slots[i].offset == chunk->offset) {
            pull->slots[i].used = false;
        }
    }
    return EK_OK;
}

bool ek_pull_block(const ek_pull *pull, const uint8_t **bytes, uint32_t *n) {
    if (pull->base >= pull->total) {
        return false;
    }
    uint32_t length = smaller(EK_BLOCK_BYTES, pull->total - pull->base);
    uint32_t chunks = (length + pull->chunk_bytes - 1U) / pull->chunk_bytes;
    uint32_t block = block_index(pull->base);
    if (pull->have[block] != (uint32_t)(((uint64_t)1 << chunks) - 1U)) {
        return false;
    }
    *bytes = pull->buffer + (size_t)block * EK_BLOCK_BYTES;
    *n = length;
    return true;
}

void ek_pull_take(ek_pull *pull) {
    pull->have[block_index(pull->base)] = 0;
    pull->base += smaller(EK_BLOCK_BYTES, pull->total - pull->base);
}

bool ek_pull_done(const ek_pull *pull) {
    return pull->base >= pull->total;
}

void ek_chunk_serve(const ek_chunk_request *request, uint64_t object, const uint8_t *bytes,
                    uint32_t total, size_t most, ek_chunk *chunk) {
    chunk->object = request->object;
    chunk->offset = 0;
    chunk->total = 0;
    chunk->bytes = NULL;
    chunk->n = 0;
    if (bytes == NULL || request->object != object || request->offset >= total) {
        return;
    }
    uint32_t n = smaller(request->length, total - request->offset);
    chunk->offset = request->offset;
    chunk->total = total;
    chunk->bytes = bytes + request->offset;
    chunk->n = n < most ? n : most;
}
