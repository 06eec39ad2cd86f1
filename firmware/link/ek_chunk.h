/* Pulling an object in chunks with a window of requests, and serving one: pure state, no clock, no
 * link. Source: firmware/link/PROTOCOL.md, CHUNK_REQUEST and CHUNK. Twin: edgekit/link/chunks.py */
#ifndef EK_CHUNK_H
#define EK_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ek_message.h"

#define EK_PULL_WINDOW 4U
#define EK_PULL_RETRY_MS 700U
#define EK_PULL_RETRY_MAX_MS 10000U
#define EK_PULL_BLOCKS 2U /* blocks that are received at the same time */
#define EK_PULL_CHUNK_MIN 256U

typedef struct ek_pull_slot {
    bool used;
    uint32_t offset;
    uint32_t attempts;
    uint64_t sent_ms;
} ek_pull_slot;

/* One object on its way in. Blocks of EK_BLOCK_BYTES come out whole and in order. */
typedef struct ek_pull {
    uint64_t object;
    uint32_t total;
    uint32_t chunk_bytes;
    uint32_t base;                 /* offset of the first block not yet taken */
    uint32_t have[EK_PULL_BLOCKS]; /* one bit per chunk of each block */
    ek_pull_slot slots[EK_PULL_WINDOW];
    uint8_t buffer[EK_PULL_BLOCKS * EK_BLOCK_BYTES];
} ek_pull;

/* Starts at offset start, a multiple of EK_BLOCK_BYTES and at most total.
 * chunk_bytes: what one answer may hold; it is rounded down to a power of two. EK_ERR_RANGE if
 * below EK_PULL_CHUNK_MIN. */
ek_status ek_pull_start(ek_pull *pull, uint64_t object, uint32_t total, uint32_t start,
                        size_t chunk_bytes);

/* The next request that should be sent now: a new one, or one without answer for too long. */
bool ek_pull_next_request(ek_pull *pull, uint64_t now_ms, ek_chunk_request *request);

/* Takes an answer. EK_ERR_STATE: the holder does not know the object (it will be asked again
 * later). EK_ERR_RANGE: not what was asked for. A chunk that is already there is EK_OK. */
ek_status ek_pull_accept(ek_pull *pull, const ek_chunk *chunk);

/* The first block not yet taken, if it is complete. */
bool ek_pull_block(const ek_pull *pull, const uint8_t **bytes, uint32_t *n);

/* Gives the block of ek_pull_block back. */
void ek_pull_take(ek_pull *pull);

bool ek_pull_done(const ek_pull *pull);

/* The answer to a request about an object of ours, or about one that we do not have (bytes NULL).
 * most: bytes that fit into one answer. */
void ek_chunk_serve(const ek_chunk_request *request, uint64_t object, const uint8_t *bytes,
                    uint32_t total, size_t most, ek_chunk *chunk);

#endif
