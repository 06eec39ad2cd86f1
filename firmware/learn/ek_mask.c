#include "ek_mask.h"

#include <string.h>

#include "../link/ek_wire.h"
#include "ek_mix.h"
#include "monocypher.h"

#define BLOCK_BYTES 64U /* of ChaCha20 */
#define LOSS_MAX 16.0f
#define FIELD_POLYNOMIAL 0x1bU /* x^8 + x^4 + x^3 + x + 1, without its top */

static const uint8_t no_nonce[12] = {0}; /* a key has one stream */

static void add_text(crypto_blake2b_ctx *hash, const char *text) {
    crypto_blake2b_update(hash, (const uint8_t *)text, strlen(text));
}

static void put_place(uint8_t *out, const ek_mask_place *place) {
    ek_wire_put_u64(out, place->run);
    ek_wire_put_u32(out + 8, place->round);
}

void ek_mask_derive(const uint8_t root[32], const char *label, uint8_t secret[32]) {
    crypto_blake2b_ctx hash;
    crypto_blake2b_keyed_init(&hash, 32, root, 32);
    add_text(&hash, label);
    crypto_blake2b_final(&hash, secret);
}

ek_status ek_mask_pair_key(const uint8_t secret[32], const uint8_t public_key[32],
                           const char *label, const ek_mask_place *place, const uint32_t pair[2],
                           uint8_t key[32]) {
    static const uint8_t no_secret[32] = {0};
    uint8_t shared[32];
    uint8_t said[20];
    crypto_blake2b_ctx hash;
    crypto_x25519(shared, secret, public_key);
    if (crypto_verify32(shared, no_secret) == 0) {
        return EK_ERR_RANGE; /* RFC 7748, 6.1 */
    }
    put_place(said, place);
    ek_wire_put_u32(said + 12, pair[0] < pair[1] ? pair[0] : pair[1]);
    ek_wire_put_u32(said + 16, pair[0] < pair[1] ? pair[1] : pair[0]);
    crypto_blake2b_keyed_init(&hash, 32, shared, 32);
    add_text(&hash, label);
    crypto_blake2b_update(&hash, said, sizeof said);
    crypto_blake2b_final(&hash, key);
    crypto_wipe(shared, sizeof shared);
    return EK_OK;
}

void ek_mask_own_key(const uint8_t seed[32], const ek_mask_place *place, uint32_t index,
                     uint8_t key[32]) {
    uint8_t said[16];
    crypto_blake2b_ctx hash;
    put_place(said, place);
    ek_wire_put_u32(said + 12, index);
    crypto_blake2b_keyed_init(&hash, 32, seed, 32);
    add_text(&hash, "ek-secure-own");
    crypto_blake2b_update(&hash, said, sizeof said);
    crypto_blake2b_final(&hash, key);
}

void ek_mask_commitment(const uint8_t seed[32], uint8_t commitment[32]) {
    ek_mask_derive(seed, "ek-secure-commitment", commitment);
}

void ek_mask_add(const uint8_t key[32], bool subtract, uint8_t *values, size_t n) {
    uint8_t block[BLOCK_BYTES];
    uint32_t counter = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK_BYTES / 4U) {
        counter = crypto_chacha20_ietf(block, NULL, sizeof block, key, no_nonce, counter);
        for (size_t i = 0; i < BLOCK_BYTES / 4U && begin + i < n; i++) {
            const uint32_t mask = ek_wire_get_u32(block + 4U * i);
            uint8_t *at = values + 4U * (begin + i);
            const uint32_t value = ek_wire_get_u32(at);
            ek_wire_put_u32(at, subtract ? value - mask : value + mask);
        }
    }
    crypto_wipe(block, sizeof block);
}

/* Product in GF(2^8), in the same time for all a. */
static uint8_t times(uint8_t a, uint8_t b) {
    uint32_t left = a;
    uint32_t product = 0;
    for (uint32_t bit = 0; bit < 8U; bit++) {
        product ^= left & (0U - ((uint32_t)(b >> bit) & 1U));
        left = (left << 1) ^ (FIELD_POLYNOMIAL & (0U - (left >> 7)));
        left &= 0xffU;
    }
    return (uint8_t)product;
}

void ek_mask_share(const uint8_t root[32], uint32_t threshold, uint8_t x,
                   uint8_t share[EK_MASK_SECRET_BYTES]) {
    uint8_t key[32];
    uint8_t block[BLOCK_BYTES]; /* one coefficient of all 64 polynomials */
    ek_mask_derive(root, EK_MASK_COEFFICIENTS, key);
    memset(share, 0, EK_MASK_SECRET_BYTES);
    for (uint32_t power = threshold - 1U; power >= 1U; power--) {
        (void)crypto_chacha20_ietf(block, NULL, sizeof block, key, no_nonce, power);
        for (size_t i = 0; i < EK_MASK_SECRET_BYTES; i++) {
            share[i] = times((uint8_t)(share[i] ^ block[i]), x);
        }
    }
    ek_mask_derive(root, EK_MASK_SEED, block);
    ek_mask_derive(root, EK_MASK_MASK_KEY, block + 32);
    for (size_t i = 0; i < EK_MASK_SECRET_BYTES; i++) {
        share[i] ^= block[i];
    }
    crypto_wipe(key, sizeof key);
    crypto_wipe(block, sizeof block);
}

#define LABEL_BYTES 15U
#define ASSOCIATED_BYTES (LABEL_BYTES + 20U)

/* Key, nonce and associated data of a share on its way from sender to receiver. */
static void start_aead(crypto_aead_ctx *aead, const uint8_t key[32], const ek_mask_place *place,
                       const uint32_t way[2], uint8_t associated[ASSOCIATED_BYTES]) {
    uint8_t nonce[12] = {0};
    ek_wire_put_u32(nonce, way[0]);
    memcpy(associated, "ek-secure-share", LABEL_BYTES);
    put_place(associated + LABEL_BYTES, place);
    ek_wire_put_u32(associated + LABEL_BYTES + 12U, way[0]);
    ek_wire_put_u32(associated + LABEL_BYTES + 16U, way[1]);
    crypto_aead_init_ietf(aead, key, nonce);
}

void ek_mask_seal(const uint8_t key[32], const ek_mask_place *place, const uint32_t way[2],
                  const uint8_t *share, uint8_t sealed[EK_MASK_SEALED_BYTES]) {
    crypto_aead_ctx aead;
    uint8_t associated[ASSOCIATED_BYTES];
    start_aead(&aead, key, place, way, associated);
    crypto_aead_write(&aead, sealed, sealed + EK_MASK_SECRET_BYTES, associated, sizeof associated,
                      share, EK_MASK_SECRET_BYTES);
    crypto_wipe(&aead, sizeof aead);
}

ek_status ek_mask_open(const uint8_t key[32], const ek_mask_place *place, const uint32_t way[2],
                       const uint8_t sealed[EK_MASK_SEALED_BYTES], uint8_t *share) {
    crypto_aead_ctx aead;
    uint8_t associated[ASSOCIATED_BYTES];
    start_aead(&aead, key, place, way, associated);
    const int differs = crypto_aead_read(&aead, share, sealed + EK_MASK_SECRET_BYTES, associated,
                                         sizeof associated, sealed, EK_MASK_SECRET_BYTES);
    crypto_wipe(&aead, sizeof aead);
    return differs == 0 ? EK_OK : EK_ERR_MAC;
}

uint32_t ek_mask_rounding(uint32_t index, uint32_t round) {
    return ek_mix(index) ^ ek_mix(round + 0x9e3779b9U);
}

static int32_t floor_of(float value) {
    const int32_t whole = (int32_t)value;
    return (float)whole > value ? whole - 1 : whole;
}

static float bounded(float value, float least, float most) {
    return value < least ? least : value > most ? most : value;
}

static uint32_t loss_steps(float loss, uint32_t levels) {
    const float scaled = bounded(loss, 0.0f, LOSS_MAX) * ((float)levels / LOSS_MAX);
    const uint32_t steps = (uint32_t)floor_of(scaled + 0.5f);
    return steps < levels ? steps : levels;
}

void ek_mask_quantize(const ek_mask_scale *scale, const ek_mask_facts *facts, uint32_t rounding,
                      const float *values, size_t n, uint8_t *out) {
    const float factor = (float)scale->levels / scale->bound;
    const int32_t most = (int32_t)scale->levels;
    const uint32_t weight =
        facts->samples < scale->most_weight ? facts->samples : scale->most_weight;
    for (size_t i = 0; i < n; i++) {
        const float scaled = bounded(values[i], -scale->bound, scale->bound) * factor;
        int32_t steps = floor_of(scaled + ek_mix_chance(rounding + (uint32_t)i));
        steps = steps < -most ? -most : steps > most ? most : steps;
        ek_wire_put_u32(out + 4U * i, (uint32_t)steps * weight);
    }
    out += 4U * n;
    ek_wire_put_u32(out, weight);
    ek_wire_put_u32(out + 4, loss_steps(facts->loss_first, scale->levels) * weight);
    ek_wire_put_u32(out + 8, loss_steps(facts->loss_last, scale->levels) * weight);
}
