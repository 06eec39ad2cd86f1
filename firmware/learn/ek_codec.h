/* How the values of an update travel: float32, float16, int8 in blocks, or only the largest.
 * Source: firmware/link/PROTOCOL.md, Head and update objects. Twin: edgekit/federated/payload.py */
#ifndef EK_CODEC_H
#define EK_CODEC_H

#include <stddef.h>
#include <stdint.h>

typedef enum ek_codec_kind {
    EK_CODEC_FLOAT32,
    EK_CODEC_FLOAT16,
    EK_CODEC_INT8,
    EK_CODEC_TOP_P,
    EK_CODEC_TOP_P_INT8,
} ek_codec_kind;

typedef struct ek_codec {
    uint32_t kind;    /* ek_codec_kind */
    uint32_t entries; /* that a top-P codec sends, 1 .. size; of the others 0 */
    uint32_t seed;    /* of the rounding of int8 */
} ek_codec;

/* True if a kind sends only the largest. */
static inline int ek_codec_is_sparse(uint32_t kind) {
    return kind >= EK_CODEC_TOP_P;
}

/* Bytes of size values. */
size_t ek_codec_bytes(const ek_codec *codec, uint32_t size);

/* Writes values [size], all finite, to out, which does not overlap them; returns its bytes. Then
 * values hold what was left out: what the reader has to add to get them back. */
size_t ek_codec_write(const ek_codec *codec, float *values, uint32_t size, uint8_t *out);

#endif
