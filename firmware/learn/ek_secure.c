#include "ek_secure.h"

#include <string.h>

#include "../link/ek_wire.h"
#include "monocypher.h"

#define LEVELS_MAX (1UL << 22)
#define BOUND_LEAST 1e-6f
#define BOUND_MOST 1e30f
#define NOBODY 0xffffffffU
#define ROSTER_HEAD_BYTES 16U
#define ROSTER_ROW_BYTES 68U
#define SHARES_HEAD_BYTES 36U
#define SEALED_ROW_BYTES (4U + EK_MASK_SEALED_BYTES)
#define ASKED_ROW_BYTES 8U
#define REVEALED_ROW_BYTES 40U

typedef enum kind { KEYS = 1, ROSTER, SHARES, INBOX, MASKED, REQUEST, REVEALED } kind;

/* Parts of a secret, from 1 on: 0 is asked for nothing. */
typedef enum part { PART_SEED = 1, PART_MASK_KEY } part;

static void put_head(const ek_secure *member, kind what, uint32_t index, uint8_t *object) {
    memcpy(object, "EKSA", 4);
    ek_wire_put_u16(object + 4, 1);
    ek_wire_put_u16(object + 6, (uint16_t)what);
    ek_wire_put_u64(object + 8, member->place.run);
    ek_wire_put_u32(object + 16, member->place.round);
    ek_wire_put_u32(object + 20, index);
}

/* Proves the head of an object of so many bytes at least. */
static ek_status check_head(const ek_secure *member, kind what, const uint8_t *object, size_t n,
                            size_t least) {
    if (n < least) {
        return EK_ERR_TRUNCATED;
    }
    if (memcmp(object, "EKSA", 4) != 0) {
        return EK_ERR_MAGIC;
    }
    if (ek_wire_get_u16(object + 4) != 1U) {
        return EK_ERR_VERSION;
    }
    if (ek_wire_get_u16(object + 6) != (uint16_t)what) {
        return EK_ERR_STATE;
    }
    const bool same = ek_wire_get_u64(object + 8) == member->place.run &&
                      ek_wire_get_u32(object + 16) == member->place.round;
    return same ? EK_OK : EK_ERR_REPLAY;
}

/* Proves a list that ends an object: its length, and that indices rise. */
static ek_status check_rows(const uint8_t *rows, size_t n, uint32_t count, size_t row_bytes) {
    if (count > EK_SECURE_PEERS_MAX + 1U) {
        return EK_ERR_RANGE;
    }
    if (n != count * row_bytes) {
        return n < count * row_bytes ? EK_ERR_TRUNCATED : EK_ERR_RANGE;
    }
    for (uint32_t i = 1; i < count; i++) {
        const uint8_t *row = rows + i * row_bytes;
        if (ek_wire_get_u32(row) <= ek_wire_get_u32(row - row_bytes)) {
            return EK_ERR_RANGE;
        }
    }
    return EK_OK;
}

static ek_secure_peer *find_peer(ek_secure *member, uint32_t index) {
    for (uint32_t i = 0; i < member->count; i++) {
        if (member->peers[i].index == index) {
            return &member->peers[i];
        }
    }
    return NULL;
}

static void public_of(const ek_secure *member, const char *label, uint8_t key[32]) {
    uint8_t secret[32];
    ek_mask_derive(member->root, label, secret);
    crypto_x25519_public_key(key, secret);
    crypto_wipe(secret, sizeof secret);
}

/* The key that a secret of this member has in common with a public key of a peer. */
static ek_status key_with(const ek_secure *member, const char *own, const uint8_t *public_key,
                          const char *label, uint32_t peer, uint8_t key[32]) {
    uint8_t secret[32];
    const uint32_t pair[2] = {member->index, peer};
    ek_mask_derive(member->root, own, secret);
    ek_status status = ek_mask_pair_key(secret, public_key, label, &member->place, pair, key);
    crypto_wipe(secret, sizeof secret);
    return status;
}

void ek_secure_begin(ek_secure *member, const ek_mask_place *place, const uint8_t root[32],
                     uint8_t object[EK_SECURE_KEYS_BYTES]) {
    memset(member, 0, sizeof *member);
    member->place = *place;
    memcpy(member->root, root, 32);
    put_head(member, KEYS, NOBODY, object);
    public_of(member, EK_MASK_SHARE_KEY, object + EK_SECURE_HEAD_BYTES);
    public_of(member, EK_MASK_MASK_KEY, object + EK_SECURE_HEAD_BYTES + 32U);
}

/* True if a public key is another one of the first n of the roster, or this member's own. */
static bool is_known(const ek_secure *member, const uint8_t own[64], const uint8_t *key,
                     uint32_t n) {
    bool known = memcmp(key, own, 32) == 0 || memcmp(key, own + 32, 32) == 0;
    for (uint32_t i = 0; i < n; i++) {
        const ek_secure_peer *peer = &member->peers[i];
        known =
            known || memcmp(key, peer->share, 32) == 0 || memcmp(key, peer->mask_public, 32) == 0;
    }
    return known;
}

static ek_status take_peer(ek_secure *member, const uint8_t own[64], const uint8_t *row,
                           uint32_t at) {
    ek_secure_peer *peer = &member->peers[at];
    if (ek_wire_get_u32(row) == member->index || memcmp(row + 4, row + 36, 32) == 0 ||
        is_known(member, own, row + 4, at) || is_known(member, own, row + 36, at)) {
        return EK_ERR_RANGE;
    }
    peer->index = ek_wire_get_u32(row);
    peer->state = EK_SECURE_NOT_SENT;
    memcpy(peer->share, row + 4, 32);
    memcpy(peer->mask_public, row + 36, 32);
    return EK_OK;
}

ek_status ek_secure_roster(ek_secure *member, const uint8_t *object, size_t n) {
    const uint8_t *said = object + EK_SECURE_HEAD_BYTES;
    const uint8_t *rows = said + ROSTER_HEAD_BYTES;
    const size_t before = EK_SECURE_HEAD_BYTES + ROSTER_HEAD_BYTES;
    uint8_t own[64];
    ek_status status = check_head(member, ROSTER, object, n, before);
    if (status != EK_OK) {
        return status;
    }
    const uint32_t count = ek_wire_get_u16(said + 2);
    status = check_rows(rows, n - before, count, ROSTER_ROW_BYTES);
    if (status != EK_OK) {
        return status;
    }
    member->index = ek_wire_get_u32(object + 20);
    member->threshold = ek_wire_get_u16(said);
    member->scale.levels = ek_wire_get_u32(said + 4);
    member->scale.bound = ek_wire_get_f32(said + 8);
    member->scale.most_weight = ek_wire_get_u32(said + 12);
    if (count + 1U < EK_SECURE_LEAST || count > EK_SECURE_PEERS_MAX ||
        member->threshold <= (count + 1U) / 2U || member->threshold > count + 1U ||
        member->scale.levels == 0U || member->scale.levels > LEVELS_MAX ||
        member->scale.most_weight == 0U || member->scale.most_weight > INT32_MAX ||
        !(member->scale.bound >= BOUND_LEAST && member->scale.bound <= BOUND_MOST)) {
        return EK_ERR_RANGE;
    }
    public_of(member, EK_MASK_SHARE_KEY, own);
    public_of(member, EK_MASK_MASK_KEY, own + 32);
    for (uint32_t i = 0; i < count && status == EK_OK; i++) {
        status = take_peer(member, own, rows + (size_t)i * ROSTER_ROW_BYTES, i);
    }
    member->count = status == EK_OK ? count : 0U;
    return status;
}

ek_status ek_secure_share(const ek_secure *member, uint32_t at, uint8_t *object) {
    const ek_secure_peer *peer = &member->peers[at];
    const uint32_t way[2] = {member->index, peer->index};
    uint8_t *row =
        object + EK_SECURE_HEAD_BYTES + SHARES_HEAD_BYTES + (size_t)at * SEALED_ROW_BYTES;
    uint8_t key[32];
    uint8_t share[EK_MASK_SECRET_BYTES];
    ek_status status =
        key_with(member, EK_MASK_SHARE_KEY, peer->share, EK_MASK_SHARES, peer->index, key);
    if (status == EK_OK) {
        ek_mask_share(member->root, member->threshold, (uint8_t)(at + 2U), share);
        ek_wire_put_u32(row, peer->index);
        ek_mask_seal(key, &member->place, way, share, row + 4);
    }
    crypto_wipe(key, sizeof key);
    crypto_wipe(share, sizeof share);
    return status;
}

size_t ek_secure_shares_end(const ek_secure *member, uint8_t *object) {
    uint8_t seed[32];
    put_head(member, SHARES, member->index, object);
    ek_mask_derive(member->root, EK_MASK_SEED, seed);
    ek_mask_commitment(seed, object + EK_SECURE_HEAD_BYTES);
    crypto_wipe(seed, sizeof seed);
    ek_wire_put_u32(object + EK_SECURE_HEAD_BYTES + 32U, member->count);
    return EK_SECURE_HEAD_BYTES + SHARES_HEAD_BYTES + (size_t)member->count * SEALED_ROW_BYTES;
}

/* Proves a list with its length before it, of this member. */
static ek_status check_list(const ek_secure *member, kind what, const uint8_t *object, size_t n,
                            size_t row_bytes) {
    const size_t before = EK_SECURE_HEAD_BYTES + 4U;
    ek_status status = check_head(member, what, object, n, before);
    if (status != EK_OK) {
        return status;
    }
    if (ek_wire_get_u32(object + 20) != member->index) {
        return EK_ERR_RANGE;
    }
    const uint32_t count = ek_wire_get_u32(object + EK_SECURE_HEAD_BYTES);
    return check_rows(object + before, n - before, count, row_bytes);
}

static const uint8_t *row_of(const uint8_t *object, uint32_t at, size_t row_bytes) {
    return object + EK_SECURE_HEAD_BYTES + 4U + (size_t)at * row_bytes;
}

ek_status ek_secure_inbox(ek_secure *member, const uint8_t *object, size_t n) {
    ek_status status = check_list(member, INBOX, object, n, SEALED_ROW_BYTES);
    if (status != EK_OK) {
        return status;
    }
    const uint32_t count = ek_wire_get_u32(object + EK_SECURE_HEAD_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        ek_secure_peer *peer =
            find_peer(member, ek_wire_get_u32(row_of(object, i, SEALED_ROW_BYTES)));
        if (peer == NULL) {
            return EK_ERR_RANGE;
        }
        peer->state = EK_SECURE_SEALED;
    }
    const bool enough = count + 1U >= EK_SECURE_LEAST && count + 1U >= member->threshold;
    return enough ? EK_OK : EK_ERR_STATE;
}

ek_status ek_secure_open(ek_secure *member, uint32_t at, const uint8_t *object) {
    ek_secure_peer *peer = &member->peers[at];
    const uint32_t way[2] = {peer->index, member->index};
    const uint32_t count = ek_wire_get_u32(object + EK_SECURE_HEAD_BYTES);
    uint8_t key[32];
    if (peer->state != EK_SECURE_SEALED) {
        return EK_OK;
    }
    const uint8_t *row = NULL;
    for (uint32_t i = 0; i < count && row == NULL; i++) {
        const uint8_t *each = row_of(object, i, SEALED_ROW_BYTES);
        row = ek_wire_get_u32(each) == peer->index ? each : NULL;
    }
    ek_status status =
        key_with(member, EK_MASK_SHARE_KEY, peer->share, EK_MASK_SHARES, peer->index, key);
    if (status == EK_OK && row != NULL) {
        const bool opens = ek_mask_open(key, &member->place, way, row + 4, peer->share) == EK_OK;
        peer->state = opens ? EK_SECURE_HELD : EK_SECURE_WRONG;
    }
    crypto_wipe(key, sizeof key);
    return status;
}

size_t ek_secure_masked(const ek_secure *member, const ek_mask_facts *facts, const float *values,
                        size_t n, uint8_t *object) {
    uint8_t *out = object + EK_SECURE_HEAD_BYTES;
    uint8_t seed[32];
    uint8_t key[32];
    const uint32_t rounding = ek_mask_rounding(member->index, member->place.round);
    put_head(member, MASKED, member->index, object);
    ek_mask_quantize(&member->scale, facts, rounding, values, n, out);
    ek_mask_derive(member->root, EK_MASK_SEED, seed);
    ek_mask_own_key(seed, &member->place, member->index, key);
    ek_mask_add(key, false, out, n + EK_MASK_EXTRA);
    crypto_wipe(seed, sizeof seed);
    crypto_wipe(key, sizeof key);
    return EK_SECURE_HEAD_BYTES + 4U * (n + EK_MASK_EXTRA);
}

ek_status ek_secure_mask(const ek_secure *member, uint32_t at, uint8_t *object, size_t bytes) {
    const ek_secure_peer *peer = &member->peers[at];
    uint8_t key[32];
    if (peer->state == EK_SECURE_NOT_SENT) {
        return EK_OK;
    }
    ek_status status =
        key_with(member, EK_MASK_MASK_KEY, peer->mask_public, EK_MASK_PAIR, peer->index, key);
    if (status == EK_OK) {
        ek_mask_add(key, peer->index < member->index, object + EK_SECURE_HEAD_BYTES,
                    (bytes - EK_SECURE_HEAD_BYTES) / 4U);
    }
    crypto_wipe(key, sizeof key);
    return status;
}

/* Reads what is asked for: by place of the peer, the member itself last. */
static ek_status read_wanted(ek_secure *member, const uint8_t *object,
                             uint8_t wanted[EK_SECURE_PEERS_MAX + 1U]) {
    const uint32_t count = ek_wire_get_u32(object + EK_SECURE_HEAD_BYTES);
    uint32_t seeds = 0;
    memset(wanted, 0, EK_SECURE_PEERS_MAX + 1U);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *row = row_of(object, i, ASKED_ROW_BYTES);
        const uint32_t index = ek_wire_get_u32(row);
        const ek_secure_peer *peer = find_peer(member, index);
        if (ek_wire_get_u32(row + 4) > 1U || (peer == NULL && index != member->index)) {
            return EK_ERR_RANGE;
        }
        const size_t at = peer == NULL ? EK_SECURE_PEERS_MAX : (size_t)(peer - member->peers);
        wanted[at] = (uint8_t)(ek_wire_get_u32(row + 4) == 0U ? PART_SEED : PART_MASK_KEY);
        seeds += wanted[at] == PART_SEED;
    }
    const uint32_t least =
        member->threshold > EK_SECURE_LEAST ? member->threshold : EK_SECURE_LEAST;
    const bool fair = wanted[EK_SECURE_PEERS_MAX] == PART_SEED && seeds >= least;
    return fair ? EK_OK : EK_ERR_STATE;
}

static uint8_t *put_row(uint8_t *row, uint32_t index, uint8_t wanted, const uint8_t *share) {
    ek_wire_put_u32(row, index);
    ek_wire_put_u32(row + 4, wanted == PART_SEED ? 0U : 1U);
    memcpy(row + 8, wanted == PART_SEED ? share : share + 32, 32);
    return row + REVEALED_ROW_BYTES;
}

/* Writes the shares that are held of what is wanted, in rising order of indices. */
static size_t put_revealed(const ek_secure *member, uint8_t *object) {
    uint8_t own[EK_MASK_SECRET_BYTES];
    uint8_t *first = object + EK_SECURE_HEAD_BYTES + 4U;
    uint8_t *row = first;
    bool is_own_due = true;
    ek_mask_share(member->root, member->threshold, 1, own);
    for (uint32_t i = 0; i <= member->count; i++) {
        const ek_secure_peer *peer = &member->peers[i];
        if (is_own_due && (i == member->count || peer->index > member->index)) {
            row = put_row(row, member->index, PART_SEED, own);
            is_own_due = false;
        }
        if (i < member->count && member->wanted[i] != 0U && peer->state == EK_SECURE_HELD) {
            row = put_row(row, peer->index, member->wanted[i], peer->share);
        }
    }
    crypto_wipe(own, sizeof own);
    put_head(member, REVEALED, member->index, object);
    ek_wire_put_u32(object + EK_SECURE_HEAD_BYTES, (uint32_t)(row - first) / REVEALED_ROW_BYTES);
    return (size_t)(row - object);
}

ek_status ek_secure_reveal(ek_secure *member, uint8_t *object, size_t capacity, size_t *n) {
    uint8_t wanted[EK_SECURE_PEERS_MAX + 1U];
    const size_t most = EK_SECURE_HEAD_BYTES + 4U + (member->count + 1U) * REVEALED_ROW_BYTES;
    ek_status status = check_list(member, REQUEST, object, *n, ASKED_ROW_BYTES);
    if (status == EK_OK) {
        status = read_wanted(member, object, wanted);
    }
    if (status == EK_OK && member->revealed && memcmp(wanted, member->wanted, sizeof wanted) != 0) {
        status = EK_ERR_STATE;
    }
    if (status != EK_OK || capacity < most) {
        return status == EK_OK ? EK_ERR_SPACE : status;
    }
    memcpy(member->wanted, wanted, sizeof wanted);
    member->revealed = true;
    *n = put_revealed(member, object);
    return EK_OK;
}
