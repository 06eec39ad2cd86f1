/* Head and update objects: what a federated round carries down and up.
 * Source: firmware/link/PROTOCOL.md, Head and update objects. Twin: edgekit/federated/codecs.py */
#ifndef EK_EXCHANGE_H
#define EK_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "ek_codec.h"
#include "ek_status.h"
#include "ek_train.h"

#define EK_HEAD_OBJECT_HEAD_BYTES 12U
#define EK_UPDATE_HEAD_BYTES 72U

typedef struct ek_update {
    uint64_t run;
    uint32_t round;
    uint32_t samples;
    uint8_t base_hash[32];
    float loss_first;
    float loss_last;
    ek_codec codec;
    uint32_t local; /* parameters at the end that stay on the device, at most 65535 */
} ek_update;

/* Bytes of weights and bias. */
size_t ek_head_float_bytes(uint32_t classes, uint32_t features);

/* Proves a head object: magic, version, shape [classes, features], length, finite numbers, hash.
 * EK_ERR_SHAPE, EK_ERR_BASE (hash differs) and others. */
ek_status ek_head_object_open(const uint8_t *object, size_t n, uint32_t classes, uint32_t features,
                              const uint8_t hash[32]);

/* Copies the floats behind a proven head object's head into weights and bias. */
void ek_head_floats_read(const uint8_t *floats, const ek_trainer *head);

/* Makes of a trained head what it learned: head - base, plus what earlier updates left out.
 * base, left_out: little-endian float32 in the order of a head object; left_out may be NULL.
 * EK_ERR_NOT_FINITE. */
ek_status ek_update_difference(const ek_trainer *head, const uint8_t *base,
                               const uint8_t *left_out);

/* Bytes of an update object of size parameters. */
size_t ek_update_bytes(const ek_codec *codec, uint32_t local, uint32_t size);

/* Writes an update object of ek_update_bytes. learned: a head whose bias lies behind its weights;
 * afterwards it holds what the codec left out, and 0 for what is local. */
void ek_update_write(const ek_update *update, const ek_trainer *learned, uint8_t *object);

#endif
