/* The seal of a message: a counter and a keyed BLAKE2b code over everything before it.
 * Source: firmware/link/PROTOCOL.md, Seal. Twin: edgekit/link/seal.py */
#ifndef EK_SEAL_H
#define EK_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_SEAL_BYTES 24U
#define EK_SEAL_FROM_DEVICE 0x44U
#define EK_SEAL_FROM_SERVER 0x53U

/* One device's side of the sealed conversation during one boot. */
typedef struct ek_seal {
    uint8_t key[32];
    uint32_t boot;  /* high half of every counter, both ways */
    uint32_t sent;  /* low half of the last counter sent; the first is 1 */
    uint32_t heard; /* low half of the last counter accepted */
} ek_seal;

/* The code over direction, version, type, sealed length, content and counter. */
void ek_seal_code(const uint8_t key[32], uint8_t direction, uint8_t type, const uint8_t *content,
                  size_t content_bytes, uint64_t counter, uint8_t code[16]);

/* Appends the next counter and code to content at body; body has capacity bytes in all. */
ek_status ek_seal_close(ek_seal *seal, uint8_t type, uint8_t *body, size_t content_bytes,
                        size_t capacity, size_t *body_bytes);

/* Proves a body from the server and remembers its counter.
 * EK_ERR_MAC: wrong code. EK_ERR_REPLAY: of another boot, or not newer than the last. */
ek_status ek_seal_open(ek_seal *seal, uint8_t type, const uint8_t *body, size_t body_bytes,
                       size_t *content_bytes);

#endif
