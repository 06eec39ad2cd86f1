#include "ek_exchange.h"

#include <stdbool.h>
#include <string.h>

#include "../link/ek_wire.h"
#include "monocypher.h"

size_t ek_head_float_bytes(uint32_t classes, uint32_t features) {
    return ((size_t)classes * features + classes) * 4U;
}

static bool bits_are_finite(uint32_t bits) {
    return (bits & 0x7f800000U) != 0x7f800000U;
}

ek_status ek_head_object_open(const uint8_t *object, size_t n, uint32_t classes, uint32_t features,
                              const uint8_t hash[32]) {
    uint8_t digest[32];
    if (n < EK_HEAD_OBJECT_HEAD_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    if (memcmp(object, "EKHD", 4) != 0) {
        return EK_ERR_MAGIC;
    }
    if (ek_wire_get_u16(object + 4) != 1U) {
        return EK_ERR_VERSION;
    }
    if (ek_wire_get_u16(object + 6) != classes || ek_wire_get_u32(object + 8) != features ||
        n != EK_HEAD_OBJECT_HEAD_BYTES + ek_head_float_bytes(classes, features)) {
        return EK_ERR_SHAPE;
    }
    for (size_t at = EK_HEAD_OBJECT_HEAD_BYTES; at < n; at += 4U) {
        if (!bits_are_finite(ek_wire_get_u32(object + at))) {
            return EK_ERR_NOT_FINITE;
        }
    }
    crypto_blake2b(digest, sizeof digest, object + EK_HEAD_OBJECT_HEAD_BYTES,
                   n - EK_HEAD_OBJECT_HEAD_BYTES);
    return crypto_verify32(digest, hash) == 0 ? EK_OK : EK_ERR_BASE;
}

void ek_head_floats_read(const uint8_t *floats, const ek_trainer *head) {
    const size_t weights = (size_t)head->classes * head->features;
    for (size_t i = 0; i < weights; i++) {
        head->weights[i] = ek_wire_get_f32(floats + 4U * i);
    }
    for (size_t j = 0; j < head->classes; j++) {
        head->bias[j] = ek_wire_get_f32(floats + 4U * (weights + j));
    }
}

/* Replaces n base floats by trained - base; false if a difference is not finite. */
static bool put_difference(uint8_t *floats, const float *trained, size_t n) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        const float difference = trained[i] - ek_wire_get_f32(floats + 4U * i);
        finite = finite && bits_are_finite(ek_wire_float_bits(difference));
        ek_wire_put_f32(floats + 4U * i, difference);
    }
    return finite;
}

ek_status ek_update_write(const ek_update *update, const ek_trainer *trained, uint8_t *object,
                          size_t *n) {
    const size_t weights = (size_t)trained->classes * trained->features;
    uint8_t *floats = object + EK_UPDATE_HEAD_BYTES;
    memcpy(object, "EKUP", 4);
    ek_wire_put_u16(object + 4, 1);
    ek_wire_put_u16(object + 6, EK_UPDATE_CODEC_FLOAT32);
    ek_wire_put_u64(object + 8, update->run);
    ek_wire_put_u32(object + 16, update->round);
    ek_wire_put_u32(object + 20, update->samples);
    memcpy(object + 24, update->base_hash, 32);
    ek_wire_put_u32(object + 56, trained->features);
    ek_wire_put_u16(object + 60, (uint16_t)trained->classes);
    ek_wire_put_u16(object + 62, 0);
    ek_wire_put_f32(object + 64, update->loss_first);
    ek_wire_put_f32(object + 68, update->loss_last);
    const bool finite = put_difference(floats, trained->weights, weights) &&
                        put_difference(floats + 4U * weights, trained->bias, trained->classes);
    *n = EK_UPDATE_HEAD_BYTES + ek_head_float_bytes(trained->classes, trained->features);
    return finite ? EK_OK : EK_ERR_NOT_FINITE;
}
