/* A head that learns on the device, one sample at a time, and forgets little: OL, OL-v2, LwF, CWR.
 * It reads an int8 tensor of a frozen model: the input of the layer that it replaces or widens, or
 * the output that it is appended to. Classes that the model did not know get rows of their own.
 * Source: L. Ren et al., TinyOL (IJCNN 2021); A. Avi's study of OL, LwF and CWR on boards.
 * Twin: edgekit/runtime/online_twin.py */
#ifndef EK_ONLINE_H
#define EK_ONLINE_H

#include <stddef.h>
#include <stdint.h>

#include "ek_net.h"
#include "ek_status.h"

#define EK_ONLINE_CLASSES_MAX 256U

typedef enum ek_method {
    EK_OL,    /* all rows learn */
    EK_OL_V2, /* only rows of classes that the model did not know learn */
    EK_LWF,   /* the answer of the head as it began is a second teacher, of growing weight */
    EK_CWR,   /* rows learn in batches, and each class keeps the mean over its batches */
} ek_method;

/* What does not change while the head learns. */
typedef struct ek_online_plan {
    uint32_t features;     /* h, of the tensor that the head reads */
    uint32_t classes;      /* k, that the model knows; of EK_SQUARE its outputs */
    uint32_t most_classes; /* K_max: k .. EK_ONLINE_CLASSES_MAX; of EK_SQUARE k */
    float scale;           /* of the tensor: x = (q - zero_point) scale */
    int32_t zero_point;
    ek_method method; /* of EK_SQUARE EK_OL */
    ek_loss loss;
    uint32_t batch;    /* of EK_CWR: samples until rows are kept, 1 .. 65535 */
    ek_step_rule rule; /* momentum > 0 needs as much memory again */
} ek_online_plan;

typedef struct ek_online {
    ek_online_plan plan;
    ek_layer layer; /* the head that learns */
    ek_net net;
    ek_real scale;
    ek_real *
        kept; /* LwF: the head as it began. CWR: rows that are kept. [K_max, h], [K_max]; or NULL */
    ek_real *x;        /* [h] */
    ek_real *old;      /* [K_max], of LwF */
    uint32_t *labels;  /* [K_max]: what rows stand for */
    uint32_t *batches; /* [K_max], of CWR: batches that a row was kept over; bit 31: in this one */
    uint32_t classes;  /* rows in use */
    uint32_t steps;    /* samples learnt */
} ek_online;

/* Bytes of memory that a head needs, 0 if the plan is not sound: scratch, labels, then what a
 * checkpoint holds. */
size_t ek_online_bytes(const ek_online_plan *plan);

/* Starts a head in memory, aligned to 4. weights and bias: little-endian float32 [k, h], [k]; NULL:
 * all 0. EK_ERR_RANGE: a number of the plan is out of range. EK_ERR_SPACE: too little memory. */
ek_status ek_online_start(ek_online *online, const ek_online_plan *plan, const uint8_t *weights,
                          const uint8_t *bias, void *memory, size_t bytes);

/* Answers. p [classes]: probabilities, or values. Of EK_CWR by the rows that are kept.
 * EK_ERR_NOT_FINITE. */
ek_status ek_online_predict(const ek_online *online, const int8_t *q, ek_real *p);

/* The row of a label; EK_ERR_LABEL if there is none. */
ek_status ek_online_row(const ek_online *online, uint32_t label, uint32_t *row);

/* One step on a labelled sample; a label that is new gets a row. loss: cross entropy before the
 * step. EK_ERR_SPACE: all rows are taken. EK_ERR_NOT_FINITE. In both nothing has changed. */
ek_status ek_online_learn(ek_online *online, const int8_t *q, uint32_t label, ek_real *loss);

/* One step of EK_SQUARE on a sample that should give values [k]; of an autoencoder, its input. */
ek_status ek_online_fit(ek_online *online, const int8_t *q, const ek_real *values, ek_real *loss);

/* What a checkpoint holds: words beginning here. Their meaning follows from the plan. */
uint32_t *ek_online_state(const ek_online *online, size_t *words);
/* Before its words are stored, and after they were loaded. EK_ERR_RANGE: they are not sound; the
 * head must be started again. */
void ek_online_put_counts(ek_online *online);
ek_status ek_online_take_counts(ek_online *online);

#endif
