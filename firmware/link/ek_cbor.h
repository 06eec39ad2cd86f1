/* The strict CBOR subset of the control messages: maps with keys 0..n-1, integers, strings, null.
 * Source: RFC 8949, 4.2.1 (deterministic encoding). Twin: edgekit/link/cbor.py */
#ifndef EK_CBOR_H
#define EK_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_CBOR_DEPTH_MAX 4U
#define EK_CBOR_ITEMS_MAX 64U

/* Bytes of someone else's buffer. */
typedef struct ek_view {
    const uint8_t *bytes;
    size_t n;
} ek_view;

/* Writes into out; after the first failure further puts do nothing and status tells why. */
typedef struct ek_cbor_writer {
    uint8_t *out;
    size_t capacity;
    size_t n;
    ek_status status;
} ek_cbor_writer;

void ek_cbor_write_start(ek_cbor_writer *w, uint8_t *out, size_t capacity);
void ek_cbor_put_map(ek_cbor_writer *w, uint32_t pairs);
void ek_cbor_put_uint(ek_cbor_writer *w, uint64_t value);
void ek_cbor_put_bytes(ek_cbor_writer *w, const uint8_t *bytes, size_t n);
void ek_cbor_put_text(ek_cbor_writer *w, const char *text, size_t n);
void ek_cbor_put_null(ek_cbor_writer *w);

/* A key and its value in one call. */
void ek_cbor_put_field_uint(ek_cbor_writer *w, uint32_t key, uint64_t value);
void ek_cbor_put_field_bytes(ek_cbor_writer *w, uint32_t key, const uint8_t *bytes, size_t n);
/* Null where bytes is NULL. */
void ek_cbor_put_field_optional(ek_cbor_writer *w, uint32_t key, const uint8_t *bytes, size_t n);
void ek_cbor_put_field_text(ek_cbor_writer *w, uint32_t key, const char *text, size_t n);
void ek_cbor_put_field_map(ek_cbor_writer *w, uint32_t key, uint32_t pairs);

/* Reads what the schema says comes next; after the first failure every get fails with it. */
typedef struct ek_cbor_reader {
    const uint8_t *bytes;
    size_t n;
    size_t at;
    uint32_t items;
    ek_status status;
} ek_cbor_reader;

void ek_cbor_read_start(ek_cbor_reader *r, const uint8_t *bytes, size_t n);
/* A map of exactly pairs pairs. */
void ek_cbor_get_map(ek_cbor_reader *r, uint32_t pairs);
/* A map of least..most pairs; returns how many, least after a failure. */
uint32_t ek_cbor_get_map_between(ek_cbor_reader *r, uint32_t least, uint32_t most);
uint64_t ek_cbor_get_uint(ek_cbor_reader *r, uint64_t maximum);
/* A byte string of least..most bytes. */
ek_view ek_cbor_get_bytes(ek_cbor_reader *r, size_t least, size_t most);
/* A text string of least..most bytes of UTF-8. */
ek_view ek_cbor_get_text(ek_cbor_reader *r, size_t least, size_t most);
/* Takes a null if one comes next. */
bool ek_cbor_take_null(ek_cbor_reader *r);
/* The key that must come next. */
void ek_cbor_get_key(ek_cbor_reader *r, uint32_t key);
/* Takes the key, below 24, if it comes next. */
bool ek_cbor_take_key(ek_cbor_reader *r, uint32_t key);
/* EK_OK if all went well and nothing is left. */
ek_status ek_cbor_read_end(const ek_cbor_reader *r);

/* True for well-formed UTF-8 (RFC 3629). */
bool ek_utf8_valid(const uint8_t *bytes, size_t n);

#endif
