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

/* Subtracts n base floats and adds what was left out; false if a difference is not finite. */
static bool subtract(float *values, size_t n, const uint8_t *base, const uint8_t *left_out) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        values[i] = values[i] - ek_wire_get_f32(base + 4U * i);
        if (left_out != NULL) {
            values[i] = values[i] + ek_wire_get_f32(left_out + 4U * i);
        }
        finite = finite && bits_are_finite(ek_wire_float_bits(values[i]));
    }
    return finite;
}

ek_status ek_update_difference(const ek_trainer *head, const uint8_t *base,
                               const uint8_t *left_out) {
    const size_t weights = (size_t)head->classes * head->features;
    const uint8_t *rest = left_out == NULL ? NULL : left_out + 4U * weights;
    const bool rows = subtract(head->weights, weights, base, left_out);
    const bool bias = subtract(head->bias, head->classes, base + 4U * weights, rest);
    return rows && bias ? EK_OK : EK_ERR_NOT_FINITE;
}

size_t ek_update_bytes(const ek_codec *codec, uint32_t local, uint32_t size) {
    return EK_UPDATE_HEAD_BYTES + ek_codec_bytes(codec, size - local);
}

void ek_update_write(const ek_update *update, const ek_trainer *learned, uint8_t *object) {
    const uint32_t size = learned->classes * (learned->features + 1U);
    memcpy(object, "EKUP", 4);
    ek_wire_put_u16(object + 4, 1);
    ek_wire_put_u16(object + 6, (uint16_t)update->codec.kind);
    ek_wire_put_u64(object + 8, update->run);
    ek_wire_put_u32(object + 16, update->round);
    ek_wire_put_u32(object + 20, update->samples);
    memcpy(object + 24, update->base_hash, 32);
    ek_wire_put_u32(object + 56, learned->features);
    ek_wire_put_u16(object + 60, (uint16_t)learned->classes);
    ek_wire_put_u16(object + 62, (uint16_t)update->local);
    ek_wire_put_f32(object + 64, update->loss_first);
    ek_wire_put_f32(object + 68, update->loss_last);
    const uint32_t sent = size - update->local;
    (void)ek_codec_write(&update->codec, learned->weights, sent, object + EK_UPDATE_HEAD_BYTES);
    for (uint32_t i = sent; i < size; i++) {
        learned->weights[i] = 0.0f;
    }
}
