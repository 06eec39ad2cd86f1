/* Dense nets that learn one sample at a time: forward, back-propagation, one step of gradient
 * descent. No gradient is kept: a weight's is made where the weight is changed.
 * Twin: edgekit/runtime/learn_twin.py. tests/firmware/test_net.py compares both, and gradients with
 * finite differences. */
#ifndef EK_NET_H
#define EK_NET_H

#include <stddef.h>
#include <stdint.h>

#include "ek_real.h"
#include "ek_status.h"

#define EK_NET_LAYERS_MAX 8U
#define EK_NET_WIDTH_MAX 65536U

typedef enum ek_activation { EK_LINEAR, EK_RELU, EK_TANH } ek_activation;

/* EK_SOFTMAX: cross entropy of softmax. EK_SQUARE: mean of the squared errors. */
typedef enum ek_loss { EK_SOFTMAX, EK_SQUARE } ek_loss;

/* y = activation(W x + b). */
typedef struct ek_layer {
    ek_real *weights;          /* [outputs, inputs] */
    ek_real *bias;             /* [outputs] */
    ek_real *weights_velocity; /* as weights; NULL: without momentum */
    ek_real *bias_velocity;    /* as bias */
    uint32_t inputs;
    uint32_t outputs;
    ek_activation activation; /* EK_LINEAR in the last layer */
} ek_layer;

typedef struct ek_net {
    const ek_layer *layers;
    uint32_t count;
    ek_loss loss;
    ek_real *scratch; /* ek_net_scratch numbers */
} ek_net;

/* v = momentum v + g + decay w; w -= rate v. The bias does not decay. */
typedef struct ek_step_rule {
    ek_real rate;     /* 0 .. 100 */
    ek_real momentum; /* 0 .. 0.99; without velocities 0 */
    ek_real decay;    /* 0 .. 1 */
    ek_real clip;     /* largest norm of the whole gradient, 0 < clip <= 100 */
} ek_step_rule;

/* What a sample should give: its label for EK_SOFTMAX, values [outputs] for EK_SQUARE. */
typedef struct ek_target {
    const ek_real *values;
    uint32_t label;
} ek_target;

/* Numbers in weights and biases. */
size_t ek_net_parameters(const ek_net *net);
/* Numbers of scratch: of each layer its outputs and their errors. */
size_t ek_net_scratch(const ek_net *net);
/* Bytes that a step needs beside its sample: parameters, velocities, scratch. */
size_t ek_net_step_bytes(const ek_net *net);
/* Bytes that one step on a batch of samples needs that are there at once, as Reptile's first form
 * takes it: parameters, their gradient, the samples, and of each sample what forward left. */
size_t ek_net_batch_bytes(const ek_net *net, uint32_t samples);

/* Lays layers on one vector of parameters, in this order: weights and bias of the first layer, of
 * the second, ... velocities: as parameters, or NULL. sizes [count + 1]: of the input, then of each
 * layer. EK_ERR_SHAPE: no or too many layers, or one without width. */
ek_status ek_net_lay(ek_layer *layers, uint32_t count, const uint32_t *sizes, ek_activation hidden,
                     ek_real *parameters, ek_real *velocities);

/* EK_ERR_RANGE if a number of the rule is outside its range, or rate decay > 1. Within them,
 * weights that begin below 1e30 stay finite for ever. */
ek_status ek_step_rule_check(const ek_step_rule *rule);

/* Computes probabilities (EK_SOFTMAX) or values (EK_SQUARE) into ek_net_output.
 * EK_ERR_NOT_FINITE: a sum is not finite, or beyond what a fixed-point number holds. */
ek_status ek_net_forward(const ek_net *net, const ek_real *x);
/* [outputs] of the last forward. */
ek_real *ek_net_output(const ek_net *net);
/* [outputs]: the gradient with respect to what the last layer gave before softmax. */
ek_real *ek_net_error(const ek_net *net);

/* After forward: writes ek_net_error and the loss. EK_ERR_LABEL. */
ek_status ek_net_compare(const ek_net *net, const ek_target *target, ek_real *loss);

/* After compare: ek_net_learn in two halves. The first makes the errors of all layers, clipped; of
 * the last layer the rows from first_row on count. EK_ERR_NOT_FINITE. */
ek_status ek_net_backward(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                          uint32_t first_row);
/* The second changes the parameters by them. */
void ek_net_apply(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                  uint32_t first_row);

/* After forward: changes all parameters by ek_net_error; of the last layer the rows from first_row
 * on. EK_ERR_NOT_FINITE: no parameter has changed. */
ek_status ek_net_learn(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                       uint32_t first_row);

/* Forward, compare and learn. loss: before the step. If it fails, nothing has changed. */
ek_status ek_net_step(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                      const ek_target *target, ek_real *loss);

/* Samples in order. */
typedef struct ek_lessons {
    const ek_real *x;       /* [count, inputs] */
    const ek_real *values;  /* [count, outputs], of EK_SQUARE */
    const uint32_t *labels; /* [count], of EK_SOFTMAX */
    uint32_t count;
} ek_lessons;

#endif
