/* SHA-512, for Ed25519 only: Monocypher brings every other primitive.
 * Source: FIPS 180-4, 6.4. */
#ifndef EK_SHA512_H
#define EK_SHA512_H

#include <stddef.h>
#include <stdint.h>

typedef struct ek_sha512 {
    uint64_t state[8];
    uint64_t bytes; /* taken so far */
    uint8_t block[128];
} ek_sha512;

void ek_sha512_start(ek_sha512 *hash);
void ek_sha512_add(ek_sha512 *hash, const uint8_t *bytes, size_t n);
void ek_sha512_finish(ek_sha512 *hash, uint8_t digest[64]);

#endif
