/* Head and update objects: what a federated round carries down and up.
 * Source: firmware/link/PROTOCOL.md, Head and update objects. Twin: edgekit/federated/codecs.py */
#ifndef EK_EXCHANGE_H
#define EK_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"
#include "ek_train.h"

#define EK_HEAD_OBJECT_HEAD_BYTES 12U
#define EK_UPDATE_HEAD_BYTES 72U
#define EK_UPDATE_CODEC_FLOAT32 0U

typedef struct ek_update {
    uint64_t run;
    uint32_t round;
    uint32_t samples;
    uint8_t base_hash[32];
    float loss_first;
    float loss_last;
} ek_update;

/* Bytes of weights and bias. */
size_t ek_head_float_bytes(uint32_t classes, uint32_t features);

/* Proves a head object: magic, version, shape [classes, features], length, finite numbers, hash.
 * EK_ERR_SHAPE, EK_ERR_BASE (hash differs) and others. */
ek_status ek_head_object_open(const uint8_t *object, size_t n, uint32_t classes, uint32_t features,
                              const uint8_t hash[32]);

/* Copies the floats behind a proven head object's head into weights and bias. */
void ek_head_floats_read(const uint8_t *floats, const ek_trainer *head);

/* Writes an update object. The base's floats lie at object + EK_UPDATE_HEAD_BYTES and are replaced
 * by the difference trained - base. object has room for head and floats. EK_ERR_NOT_FINITE. */
ek_status ek_update_write(const ek_update *update, const ek_trainer *trained, uint8_t *object,
                          size_t *n);

#endif
