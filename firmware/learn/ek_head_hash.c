/* The hash of a head: what a device reports of its training. */
#include "../link/ek_wire.h"
#include "ek_train.h"
#include "monocypher.h"

static void hash_floats(crypto_blake2b_ctx *hash, const float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[4];
        ek_wire_put_f32(bytes, values[i]);
        crypto_blake2b_update(hash, bytes, sizeof bytes);
    }
}

void ek_head_hash(const ek_trainer *head, uint8_t digest[32]) {
    crypto_blake2b_ctx hash;
    crypto_blake2b_init(&hash, 32);
    hash_floats(&hash, head->weights, (size_t)head->classes * head->features);
    hash_floats(&hash, head->bias, head->classes);
    crypto_blake2b_final(&hash, digest);
}
