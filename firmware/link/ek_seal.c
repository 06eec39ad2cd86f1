#include "ek_seal.h"

#include "ek_frame.h"
#include "ek_wire.h"
#include "monocypher.h"

void ek_seal_code(const uint8_t key[32], uint8_t direction, uint8_t type, const uint8_t *content,
                  size_t content_bytes, uint64_t counter, uint8_t code[16]) {
    uint8_t head[5] = {direction, EK_FRAME_VERSION, type, 0, 0};
    uint8_t tail[8];
    crypto_blake2b_ctx hash;
    ek_wire_put_u16(head + 3, (uint16_t)(content_bytes + EK_SEAL_BYTES));
    ek_wire_put_u64(tail, counter);
    crypto_blake2b_keyed_init(&hash, 16, key, 32);
    crypto_blake2b_update(&hash, head, sizeof head);
    crypto_blake2b_update(&hash, content, content_bytes);
    crypto_blake2b_update(&hash, tail, sizeof tail);
    crypto_blake2b_final(&hash, code);
}

ek_status ek_seal_close(ek_seal *seal, uint8_t type, uint8_t *body, size_t content_bytes,
                        size_t capacity, size_t *body_bytes) {
    if (content_bytes > EK_FRAME_BODY_MAX - EK_SEAL_BYTES ||
        content_bytes + EK_SEAL_BYTES > capacity) {
        return EK_ERR_SPACE;
    }
    if (seal->sent == UINT32_MAX) {
        return EK_ERR_STATE; /* 2^32 messages in one boot: only a reboot may go on */
    }
    seal->sent++;
    uint64_t counter = ((uint64_t)seal->boot << 32) | seal->sent;
    ek_wire_put_u64(body + content_bytes, counter);
    ek_seal_code(seal->key, EK_SEAL_FROM_DEVICE, type, body, content_bytes, counter,
                 body + content_bytes + 8U);
    *body_bytes = content_bytes + EK_SEAL_BYTES;
    return EK_OK;
}

ek_status ek_seal_open(ek_seal *seal, uint8_t type, const uint8_t *body, size_t body_bytes,
                       size_t *content_bytes) {
    uint8_t code[16];
    if (body_bytes < EK_SEAL_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    size_t n = body_bytes - EK_SEAL_BYTES;
    uint64_t counter = ek_wire_get_u64(body + n);
    ek_seal_code(seal->key, EK_SEAL_FROM_SERVER, type, body, n, counter, code);
    if (crypto_verify16(code, body + n + 8U) != 0) {
        return EK_ERR_MAC;
    }
    if ((uint32_t)(counter >> 32) != seal->boot || (uint32_t)counter <= seal->heard) {
        return EK_ERR_REPLAY;
    }
    seal->heard = (uint32_t)counter;
    *content_bytes = n;
    return EK_OK;
}
