/* Frames: version, type, length, body, CRC-32; and COBS for serial lines.
 * Source: firmware/link/PROTOCOL.md, Frame. Twin: edgekit/link/frames.py */
#ifndef EK_FRAME_H
#define EK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_FRAME_VERSION 1U
#define EK_FRAME_HEADER_BYTES 4U
#define EK_FRAME_BODY_MAX 4224U
#define EK_FRAME_MAX (EK_FRAME_HEADER_BYTES + EK_FRAME_BODY_MAX + 4U)

typedef enum ek_frame_type {
    EK_FRAME_HELLO = 0x01,
    EK_FRAME_WELCOME = 0x02,
    EK_FRAME_PING = 0x03,
    EK_FRAME_PONG = 0x04,
    EK_FRAME_CLAIM_REQUEST = 0x10,
    EK_FRAME_CLAIM_RESPONSE = 0x11,
    EK_FRAME_REPORTED = 0x20,
    EK_FRAME_DESIRED = 0x21,
    EK_FRAME_CHUNK_REQUEST = 0x22,
    EK_FRAME_CHUNK = 0x23,
    EK_FRAME_TELEMETRY = 0x24,
    EK_FRAME_LOG = 0x25,
    EK_FRAME_TEXT_QUESTION = 0x26,
    EK_FRAME_TEXT_ANSWER = 0x27
} ek_frame_type;

/* A proven frame; body points into the received bytes. */
typedef struct ek_frame {
    uint8_t type;
    size_t body_bytes;
    const uint8_t *body;
} ek_frame;

/* CRC-32 of IEEE 802.3 (reflected), continued from crc; start with 0. Equals zlib's crc32. */
uint32_t ek_crc32(uint32_t crc, const uint8_t *bytes, size_t n);

/* Closes the frame in buffer, whose body of body_bytes already stands at offset
 * EK_FRAME_HEADER_BYTES. EK_ERR_RANGE if the body is too long, EK_ERR_SPACE if the buffer is too
 * small. */
ek_status ek_frame_close(uint8_t *buffer, size_t capacity, uint8_t type, size_t body_bytes,
                         size_t *frame_bytes);

/* Proves version, known type, exact length and CRC of one whole frame. */
ek_status ek_frame_open(const uint8_t *bytes, size_t n, ek_frame *frame);

/* COBS with the closing 0x00; at most n + n / 254 + 2 bytes. EK_ERR_SPACE if out is too small.
 * Source: Cheshire and Baker, Consistent Overhead Byte Stuffing, IEEE/ACM ToN 7(2), 1999. */
ek_status ek_cobs_encode(const uint8_t *bytes, size_t n, uint8_t *out, size_t capacity,
                         size_t *written);

/* Undoes ek_cobs_encode; bytes come without the closing 0x00. EK_ERR_RANGE if a code is wrong. */
ek_status ek_cobs_decode(const uint8_t *bytes, size_t n, uint8_t *out, size_t capacity,
                         size_t *written);

#endif
