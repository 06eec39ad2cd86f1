/* Training the head: softmax regression by stochastic gradient descent, one sample after the other,
 * in float32. Twin: edgekit/runtime/head.py calls these functions; tests/firmware/test_head.py
 * compares with float64. */
#ifndef EK_TRAIN_H
#define EK_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_TRAIN_CLASSES_MAX 128U

/* A head in RAM and the scale of what it reads: x = (q - zero_point) * scale. */
typedef struct ek_trainer {
    float *weights; /* [classes, features] */
    float *bias;    /* [classes] */
    uint32_t classes;
    uint32_t features;
    float scale;
    int32_t zero_point;
} ek_trainer;

/* w -= rate * (gradient + decay * w) + rate * mu * (w - base); the bias does not decay. The order
 * of parameters is weights row by row, then bias. */
typedef struct ek_train_rule {
    float rate;
    float decay;
    float mu;            /* proximal term of FedProx; 0: none */
    const uint8_t *base; /* parameters that it pulls to, little-endian float32; NULL if mu is 0 */
    uint32_t local;      /* parameters at the end that TinyMetaFed fits first; ek_train_first */
    uint32_t first;      /* the first parameter that this step changes */
} ek_train_rule;

/* p = softmax(W x + b), p [classes]. EK_ERR_NOT_FINITE. */
ek_status ek_head_predict(const ek_trainer *head, const int8_t *x, float *p);

/* One step on one sample; loss is the cross entropy before it. p [classes] is scratch.
 * EK_ERR_LABEL, EK_ERR_NOT_FINITE: the head is unchanged. */
ek_status ek_head_train(const ek_trainer *head, const ek_train_rule *rule, const int8_t *x,
                        uint32_t label, float *p, float *loss);

/* The first parameter that a sample changes: over the first half of an epoch of count samples those
 * at the end, which are local, are fitted alone. */
uint32_t ek_train_first(const ek_trainer *head, uint32_t local, uint32_t sample, uint32_t count);

/* Samples in order. */
typedef struct ek_train_set {
    const int8_t *features; /* [count, features] */
    const uint16_t *labels; /* [count] */
    uint32_t count;
} ek_train_set;

/* One step on each sample of the set; mean_loss is their losses' sum in float32, divided by their
 * count. */
ek_status ek_head_train_epoch(const ek_trainer *head, const ek_train_rule *rule,
                              const ek_train_set *set, float *p, float *mean_loss);

/* BLAKE2b-256 over weights and bias as little-endian float32. */
void ek_head_hash(const ek_trainer *head, uint8_t digest[32]);

#endif
