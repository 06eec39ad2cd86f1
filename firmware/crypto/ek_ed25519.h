/* Ed25519 verification: Monocypher's curve equation with SHA-512.
 * Source: RFC 8032, 5.1.7. Encodings of A and R must be canonical, S below the group order. */
#ifndef EK_ED25519_H
#define EK_ED25519_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

/* Proves signature over prefix | message. EK_ERR_SIGNATURE if it does not verify. */
ek_status ek_ed25519_check(const uint8_t signature[64], const uint8_t key[32], const char *prefix,
                           const uint8_t *message, size_t n);

#endif
