/* Keys, masks and shares of one member in one round of secure aggregation. Every secret follows
 * from a root of 32 random bytes.
 * Source: firmware/link/PROTOCOL.md, Secure aggregation. Twin: edgekit/federated/secure_keys.py,
 * secure_quantize.py, secure_shamir.py */
#ifndef EK_MASK_H
#define EK_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_MASK_SECRET_BYTES 64U /* seed of the own mask, then mask key */
#define EK_MASK_SEALED_BYTES 80U
#define EK_MASK_EXTRA 3U /* values behind the parameters: weight, weight x first and last loss */

/* What every key is bound to. */
typedef struct ek_mask_place {
    uint64_t run;
    uint32_t round;
} ek_mask_place;

/* How values become whole numbers. */
typedef struct ek_mask_scale {
    uint32_t levels; /* 1 .. 2^22 */
    float bound;     /* > 0 */
    uint32_t most_weight;
} ek_mask_scale;

/* What was learned, besides the values. */
typedef struct ek_mask_facts {
    uint32_t samples;
    float loss_first;
    float loss_last;
} ek_mask_facts;

/* The secret of a label that follows from the root: EK_MASK_SHARE_KEY and others. */
#define EK_MASK_SHARE_KEY "ek-secure-share-key"
#define EK_MASK_MASK_KEY "ek-secure-mask-key"
#define EK_MASK_SEED "ek-secure-self"
#define EK_MASK_COEFFICIENTS "ek-secure-coefficients"
void ek_mask_derive(const uint8_t root[32], const char *label, uint8_t secret[32]);

/* The key that members a and b have in common; EK_ERR_RANGE: the public key is of low order. */
#define EK_MASK_PAIR "ek-secure-mask"
#define EK_MASK_SHARES "ek-secure-shares"
ek_status ek_mask_pair_key(const uint8_t secret[32], const uint8_t public_key[32],
                           const char *label, const ek_mask_place *place, const uint32_t pair[2],
                           uint8_t key[32]);

/* The key of the mask that a member adds for itself. */
void ek_mask_own_key(const uint8_t seed[32], const ek_mask_place *place, uint32_t index,
                     uint8_t key[32]);

/* Shows later that a seed was put together of the right shares. */
void ek_mask_commitment(const uint8_t seed[32], uint8_t commitment[32]);

/* Adds the stream of a key to n little-endian u32, or subtracts it. */
void ek_mask_add(const uint8_t key[32], bool subtract, uint8_t *values, size_t n);

/* The share of the holder at x, 1 .. 255, of the root's seed and mask key. */
void ek_mask_share(const uint8_t root[32], uint32_t threshold, uint8_t x,
                   uint8_t share[EK_MASK_SECRET_BYTES]);

/* Seals a share; opens one: EK_ERR_MAC. way: sender, receiver. */
void ek_mask_seal(const uint8_t key[32], const ek_mask_place *place, const uint32_t way[2],
                  const uint8_t *share, uint8_t sealed[EK_MASK_SEALED_BYTES]);
ek_status ek_mask_open(const uint8_t key[32], const ek_mask_place *place, const uint32_t way[2],
                       const uint8_t sealed[EK_MASK_SEALED_BYTES], uint8_t *share);

/* Where the hash of a member's rounding begins in a round. */
uint32_t ek_mask_rounding(uint32_t index, uint32_t round);

/* Writes weight x values [n] and EK_MASK_EXTRA more as little-endian u32. All are finite. */
void ek_mask_quantize(const ek_mask_scale *scale, const ek_mask_facts *facts, uint32_t rounding,
                      const float *values, size_t n, uint8_t *out);

#endif
