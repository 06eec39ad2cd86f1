#include "ek_client.h"

static void pull(ek_real *values, const ek_real *base, size_t n, ek_real share) {
    for (size_t i = 0; i < n; i++) {
        values[i] = ek_sub(values[i], ek_mul(share, ek_sub(values[i], base[i])));
    }
}

/* All parameters a share of the way back to the base. */
static void pull_back(const ek_net *net, const ek_real *base, ek_real share) {
    for (uint32_t l = 0; l < net->count; l++) {
        const ek_layer *layer = &net->layers[l];
        const size_t weights = (size_t)layer->outputs * layer->inputs;
        pull(layer->weights, base, weights, share);
        pull(layer->bias, base + weights, layer->outputs, share);
        base += weights + layer->outputs;
    }
}

/* The errors are those of the net before the pull, as is the gradient of FedProx. */
static ek_status proximal_step(const ek_net *net, const ek_client_rule *rule, const ek_real *x,
                               const ek_target *target, ek_real *loss) {
    ek_status status = ek_net_forward(net, x);
    if (status == EK_OK) {
        status = ek_net_compare(net, target, loss);
    }
    if (status == EK_OK) {
        status = ek_net_backward(net, &rule->step, x, 0);
    }
    if (status == EK_OK) {
        pull_back(net, rule->base, ek_mul(rule->step.rate, rule->mu));
        ek_net_apply(net, &rule->step, x, 0);
    }
    return status;
}

/* A step of the last layers alone, on what those before make of x. */
static ek_status local_step(const ek_net *net, const ek_client_rule *rule, const ek_real *x,
                            const ek_target *target, ek_real *loss) {
    ek_net front = *net;
    ek_net rest = *net;
    front.count = net->count - rule->local;
    front.loss = EK_SQUARE; /* no softmax in the middle */
    rest.layers = net->layers + front.count;
    rest.count = rule->local;
    rest.scratch = net->scratch + ek_net_scratch(&front) / 2U; /* behind the outputs */
    const ek_status status = ek_net_forward(&front, x);
    return status == EK_OK ? ek_net_step(&rest, &rule->step, ek_net_output(&front), target, loss)
                           : status;
}

ek_status ek_client_epoch(const ek_net *net, const ek_client_rule *rule, const ek_lessons *lessons,
                          ek_real *mean_loss) {
    const uint32_t outputs = net->layers[net->count - 1U].outputs;
    ek_wide sum = ek_wide_of(0);
    if (lessons->count == 0U || rule->local >= net->count) {
        return EK_ERR_ARGUMENT;
    }
    const ek_real share = ek_real_quotient(1, lessons->count);
    ek_status status = EK_OK;
    for (uint32_t n = 0; n < lessons->count && status == EK_OK; n++) {
        ek_target target = {NULL, 0};
        ek_real loss = 0;
        if (net->loss == EK_SQUARE) {
            target.values = lessons->values + (size_t)n * outputs;
        } else {
            target.label = lessons->labels[n];
        }
        const ek_real *x = lessons->x + (size_t)n * net->layers[0].inputs;
        if (rule->local > 0U && n < lessons->count - n) {
            status = local_step(net, rule, x, &target, &loss);
        } else if (rule->mu > 0) {
            status = proximal_step(net, rule, x, &target, &loss);
        } else {
            status = ek_net_step(net, &rule->step, x, &target, &loss);
        }
        sum = ek_wide_add(sum, loss, share);
    }
    *mean_loss = ek_wide_real(sum);
    return status;
}
