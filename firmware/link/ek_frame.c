#include "ek_frame.h"

#include "ek_wire.h"

uint32_t ek_crc32(uint32_t crc, const uint8_t *bytes, size_t n) {
    /* One entry per half byte: 64 bytes of table instead of 1 KiB. */
    static const uint32_t table[16] = {0x00000000U, 0x1db71064U, 0x3b6e20c8U, 0x26d930acU,
                                       0x76dc4190U, 0x6b6b51f4U, 0x4db26158U, 0x5005713cU,
                                       0xedb88320U, 0xf00f9344U, 0xd6d6a3e8U, 0xcb61b38cU,
                                       0x9b64c2b0U, 0x86d3d2d4U, 0xa00ae278U, 0xbdbdf21cU};
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ table[crc & 15U];
        crc = (crc >> 4) ^ table[crc & 15U];
    }
    return ~crc;
}

static int type_is_known(uint8_t type) {
    return (type >= EK_FRAME_HELLO && type <= EK_FRAME_PONG) || type == EK_FRAME_CLAIM_REQUEST ||
           type == EK_FRAME_CLAIM_RESPONSE ||
           (type >= EK_FRAME_REPORTED && type <= EK_FRAME_TEXT_ANSWER);
}

ek_status ek_frame_close(uint8_t *buffer, size_t capacity, uint8_t type, size_t body_bytes,
                         size_t *frame_bytes) {
    if (body_bytes > EK_FRAME_BODY_MAX) {
        return EK_ERR_RANGE;
    }
    size_t covered = EK_FRAME_HEADER_BYTES + body_bytes;
    if (capacity < covered + 4U) {
        return EK_ERR_SPACE;
    }
    buffer[0] = EK_FRAME_VERSION;
    buffer[1] = type;
    ek_wire_put_u16(buffer + 2, (uint16_t)body_bytes);
    ek_wire_put_u32(buffer + covered, ek_crc32(0, buffer, covered));
    *frame_bytes = covered + 4U;
    return EK_OK;
}

ek_status ek_frame_open(const uint8_t *bytes, size_t n, ek_frame *frame) {
    if (n < EK_FRAME_HEADER_BYTES + 4U) {
        return EK_ERR_TRUNCATED;
    }
    if (bytes[0] != EK_FRAME_VERSION) {
        return EK_ERR_VERSION;
    }
    size_t body_bytes = ek_wire_get_u16(bytes + 2);
    if (body_bytes > EK_FRAME_BODY_MAX) {
        return EK_ERR_RANGE;
    }
    size_t covered = EK_FRAME_HEADER_BYTES + body_bytes;
    if (n < covered + 4U) {
        return EK_ERR_TRUNCATED;
    }
    if (n > covered + 4U) {
        return EK_ERR_RANGE;
    }
    if (ek_crc32(0, bytes, covered) != ek_wire_get_u32(bytes + covered)) {
        return EK_ERR_CRC;
    }
    if (!type_is_known(bytes[1])) {
        return EK_ERR_RANGE;
    }
    frame->type = bytes[1];
    frame->body_bytes = body_bytes;
    frame->body = bytes + EK_FRAME_HEADER_BYTES;
    return EK_OK;
}

ek_status ek_cobs_encode(const uint8_t *bytes, size_t n, uint8_t *out, size_t capacity,
                         size_t *written) {
    if (capacity < n + n / 254U + 2U) {
        return EK_ERR_SPACE;
    }
    size_t code_at = 0;
    size_t at = 1;
    uint8_t code = 1;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != 0U) {
            out[at++] = bytes[i];
            code++;
        }
        if (bytes[i] == 0U || code == 0xffU) {
            out[code_at] = code;
            code_at = at++;
            code = 1;
        }
    }
    out[code_at] = code;
    out[at++] = 0U;
    *written = at;
    return EK_OK;
}

ek_status ek_cobs_decode(const uint8_t *bytes, size_t n, uint8_t *out, size_t capacity,
                         size_t *written) {
    size_t at = 0;
    size_t i = 0;
    if (n == 0U) {
        return EK_ERR_TRUNCATED;
    }
    while (i < n) {
        uint8_t code = bytes[i++];
        if (code == 0U) {
            return EK_ERR_RANGE;
        }
        size_t run = (size_t)code - 1U;
        if (run > n - i) {
            return EK_ERR_TRUNCATED;
        }
        if (run + 1U > capacity - at) {
            return EK_ERR_SPACE;
        }
        for (size_t k = 0; k < run; k++) {
            if (bytes[i + k] == 0U) {
                return EK_ERR_RANGE;
            }
            out[at++] = bytes[i + k];
        }
        i += run;
        if (code != 0xffU && i < n) {
            out[at++] = 0U;
        }
    }
    *written = at;
    return EK_OK;
}
