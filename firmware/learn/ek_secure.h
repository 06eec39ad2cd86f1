/* One member of a round of secure aggregation: what it is told, and the objects that it answers
 * with. Slow parts go step by step: one neighbour per call.
 * Source: firmware/link/PROTOCOL.md, Secure aggregation. Twin: edgekit/federated/secure_client.py,
 * secure_objects.py */
#ifndef EK_SECURE_H
#define EK_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ek_mask.h"
#include "ek_status.h"

#define EK_SECURE_PEERS_MAX 16U
#define EK_SECURE_LEAST 3U /* members in a sum */
#define EK_SECURE_HEAD_BYTES 24U
#define EK_SECURE_KEYS_BYTES (EK_SECURE_HEAD_BYTES + 64U)

typedef enum ek_secure_share_state {
    EK_SECURE_NOT_SENT, /* it sealed no share for this member */
    EK_SECURE_SEALED,   /* it did, the share lies in the inbox */
    EK_SECURE_HELD,     /* the share is open */
    EK_SECURE_WRONG,    /* the share does not open */
} ek_secure_share_state;

/* A neighbour. */
typedef struct ek_secure_peer {
    uint32_t index;
    ek_secure_share_state state;
    uint8_t mask_public[32];
    uint8_t share[EK_MASK_SECRET_BYTES]; /* until it is held: its public key for shares */
} ek_secure_peer;

typedef struct ek_secure {
    ek_mask_place place;
    uint8_t root[32];
    uint32_t index;
    uint32_t threshold;
    ek_mask_scale scale;
    uint32_t count; /* of peers */
    bool revealed;
    uint8_t wanted[EK_SECURE_PEERS_MAX + 1U]; /* of the request that was answered */
    ek_secure_peer peers[EK_SECURE_PEERS_MAX];
} ek_secure;

/* Begins a round from 32 random bytes; writes the object of public keys. */
void ek_secure_begin(ek_secure *member, const ek_mask_place *place, const uint8_t root[32],
                     uint8_t object[EK_SECURE_KEYS_BYTES]);

/* Proves and takes a roster. EK_ERR_RANGE: it would not protect the member. */
ek_status ek_secure_roster(ek_secure *member, const uint8_t *object, size_t n);

/* Seals the share of the peer at a place of the list, into the object of shares. */
ek_status ek_secure_share(const ek_secure *member, uint32_t at, uint8_t *object);

/* Writes what stands before the shares; returns the bytes of the object. */
size_t ek_secure_shares_end(const ek_secure *member, uint8_t *object);

/* Proves an inbox. EK_ERR_STATE: too few have shared. */
ek_status ek_secure_inbox(ek_secure *member, const uint8_t *object, size_t n);

/* Opens the share of the peer at a place of the list, if it lies in the inbox. */
ek_status ek_secure_open(ek_secure *member, uint32_t at, const uint8_t *object);

/* Writes the update with the member's own mask. values [n]: what was learned, finite. Returns the
 * bytes of the object: EK_SECURE_HEAD_BYTES + 4 (n + EK_MASK_EXTRA). */
size_t ek_secure_masked(const ek_secure *member, const ek_mask_facts *facts, const float *values,
                        size_t n, uint8_t *object);

/* Adds the mask that the peer at a place of the list has in common, if it has shared. */
ek_status ek_secure_mask(const ek_secure *member, uint32_t at, uint8_t *object, size_t bytes);

/* Answers a request in its place, in a buffer of capacity bytes. EK_ERR_STATE: it asks for more
 * than a member may tell. */
ek_status ek_secure_reveal(ek_secure *member, uint8_t *object, size_t capacity, size_t *n);

#endif
