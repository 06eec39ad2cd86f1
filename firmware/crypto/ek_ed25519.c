#include "ek_ed25519.h"

#include <string.h>

#include "ek_sha512.h"
#include "monocypher.h"

/* True if the 255-bit y coordinate is below 2^255 - 19. */
static int is_canonical(const uint8_t point[32]) {
    if ((point[31] & 0x7fU) != 0x7fU || point[0] < 0xedU) {
        return 1;
    }
    for (unsigned i = 1; i < 31U; i++) {
        if (point[i] != 0xffU) {
            return 1;
        }
    }
    return 0;
}

ek_status ek_ed25519_check(const uint8_t signature[64], const uint8_t key[32], const char *prefix,
                           const uint8_t *message, size_t n) {
    ek_sha512 hash;
    uint8_t digest[64];
    uint8_t reduced[32];
    if (!is_canonical(key) || !is_canonical(signature)) {
        return EK_ERR_SIGNATURE;
    }
    ek_sha512_start(&hash);
    ek_sha512_add(&hash, signature, 32);
    ek_sha512_add(&hash, key, 32);
    ek_sha512_add(&hash, (const uint8_t *)prefix, strlen(prefix));
    ek_sha512_add(&hash, message, n);
    ek_sha512_finish(&hash, digest);
    crypto_eddsa_reduce(reduced, digest);
    return crypto_eddsa_check_equation(signature, key, reduced) == 0 ? EK_OK : EK_ERR_SIGNATURE;
}
