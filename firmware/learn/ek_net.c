#include "ek_net.h"

size_t ek_net_parameters(const ek_net *net) {
    size_t n = 0;
    for (uint32_t l = 0; l < net->count; l++) {
        n += (size_t)net->layers[l].outputs * (net->layers[l].inputs + 1U);
    }
    return n;
}

static size_t outputs_of_all(const ek_net *net) {
    size_t n = 0;
    for (uint32_t l = 0; l < net->count; l++) {
        n += net->layers[l].outputs;
    }
    return n;
}

size_t ek_net_scratch(const ek_net *net) {
    return 2U * outputs_of_all(net);
}

size_t ek_net_step_bytes(const ek_net *net) {
    const size_t copies = net->layers[0].weights_velocity != NULL ? 2U : 1U;
    return (copies * ek_net_parameters(net) + ek_net_scratch(net)) * sizeof(ek_real);
}

size_t ek_net_batch_bytes(const ek_net *net, uint32_t samples) {
    const ek_layer *last = &net->layers[net->count - 1U];
    const size_t sample = (size_t)net->layers[0].inputs + last->outputs;
    const size_t per_sample = sample + outputs_of_all(net);
    return ek_net_step_bytes(net) +
           (ek_net_parameters(net) + samples * per_sample) * sizeof(ek_real);
}

ek_status ek_net_lay(ek_layer *layers, uint32_t count, const uint32_t *sizes, ek_activation hidden,
                     ek_real *parameters, ek_real *velocities) {
    if (count == 0U || count > EK_NET_LAYERS_MAX) {
        return EK_ERR_SHAPE;
    }
    for (uint32_t l = 0; l < count; l++) {
        const uint32_t inputs = sizes[l];
        const uint32_t outputs = sizes[l + 1U];
        if (inputs == 0U || outputs == 0U || inputs > EK_NET_WIDTH_MAX ||
            outputs > EK_NET_WIDTH_MAX) {
            return EK_ERR_SHAPE;
        }
        const size_t weights = (size_t)inputs * outputs;
        layers[l].inputs = inputs;
        layers[l].outputs = outputs;
        layers[l].activation = l + 1U < count ? hidden : EK_LINEAR;
        layers[l].weights = parameters;
        layers[l].bias = parameters + weights;
        layers[l].weights_velocity = velocities;
        layers[l].bias_velocity = velocities == NULL ? NULL : velocities + weights;
        parameters += weights + outputs;
        velocities = velocities == NULL ? NULL : velocities + weights + outputs;
    }
    return EK_OK;
}

static int within(ek_real value, ek_real most) {
    return value >= 0 && value <= most;
}

ek_status ek_step_rule_check(const ek_step_rule *rule) {
    const int good = within(rule->rate, EK_REAL(100)) && within(rule->momentum, EK_REAL(0.99)) &&
                     within(rule->decay, EK_REAL(1)) && within(rule->clip, EK_REAL(100)) &&
                     rule->clip > 0 && within(ek_mul(rule->rate, rule->decay), EK_REAL(1));
    return good ? EK_OK : EK_ERR_RANGE;
}

/* Where the outputs of a layer lie in scratch. */
static ek_real *outputs_of(const ek_net *net, uint32_t layer) {
    ek_real *at = net->scratch;
    for (uint32_t l = 0; l < layer; l++) {
        at += net->layers[l].outputs;
    }
    return at;
}

static ek_real *errors_of(const ek_net *net, uint32_t layer) {
    return outputs_of(net, layer) + outputs_of_all(net);
}

ek_real *ek_net_output(const ek_net *net) {
    return outputs_of(net, net->count - 1U);
}

ek_real *ek_net_error(const ek_net *net) {
    return errors_of(net, net->count - 1U);
}

static ek_real activate(ek_activation activation, ek_real z) {
    if (activation == EK_RELU) {
        return z > 0 ? z : 0;
    }
    return activation == EK_TANH ? ek_tanh(z) : z;
}

static int layer_forward(const ek_layer *layer, const ek_real *x, ek_real *y) {
    int sound = 1;
    for (uint32_t j = 0; j < layer->outputs; j++) {
        const ek_real *w = layer->weights + (size_t)j * layer->inputs;
        ek_wide z = ek_wide_of(layer->bias[j]);
        for (uint32_t i = 0; i < layer->inputs; i++) {
            z = ek_wide_add(z, w[i], x[i]);
        }
        sound = sound && ek_wide_sound(z);
        y[j] = activate(layer->activation, ek_wide_real(z));
    }
    return sound;
}

static void softmax(ek_real *z, uint32_t n) {
    ek_real largest = z[0];
    for (uint32_t j = 1; j < n; j++) {
        largest = z[j] > largest ? z[j] : largest;
    }
    ek_wide sum = ek_wide_of(0);
    for (uint32_t j = 0; j < n; j++) {
        z[j] = ek_exp(ek_sub(z[j], largest));
        sum = ek_wide_add(sum, z[j], EK_REAL(1));
    }
    for (uint32_t j = 0; j < n; j++) {
        z[j] = ek_wide_ratio(z[j], sum);
    }
}

ek_status ek_net_forward(const ek_net *net, const ek_real *x) {
    int sound = 1;
    ek_real *y = net->scratch;
    for (uint32_t l = 0; l < net->count; l++) {
        sound = layer_forward(&net->layers[l], x, y) && sound;
        x = y;
        y += net->layers[l].outputs;
    }
    if (!sound) {
        return EK_ERR_NOT_FINITE;
    }
    if (net->loss == EK_SOFTMAX) {
        softmax(ek_net_output(net), net->layers[net->count - 1U].outputs);
    }
    return EK_OK;
}

/* -log p; of a probability that became 0, of the smallest that counts. */
static ek_real surprise(ek_real p) {
    const ek_real least = EK_REAL(5.9604644775390625e-8); /* 2^-24 */
    return ek_wide_log(ek_wide_inverse(p > least ? p : least));
}

ek_status ek_net_compare(const ek_net *net, const ek_target *target, ek_real *loss) {
    const uint32_t n = net->layers[net->count - 1U].outputs;
    const ek_real *y = ek_net_output(net);
    ek_real *error = ek_net_error(net);
    if (net->loss == EK_SOFTMAX) {
        if (target->label >= n) {
            return EK_ERR_LABEL;
        }
        for (uint32_t j = 0; j < n; j++) {
            error[j] = j == target->label ? ek_sub(y[j], EK_REAL(1)) : y[j];
        }
        *loss = surprise(y[target->label]);
        return EK_OK;
    }
    const ek_real share = ek_real_quotient(2, n);
    ek_wide sum = ek_wide_of(0);
    for (uint32_t j = 0; j < n; j++) {
        const ek_real off = ek_sub(y[j], target->values[j]);
        sum = ek_wide_add(sum, off, off);
        error[j] = ek_mul(share, off);
    }
    *loss = ek_wide_real(ek_wide_mul(sum, ek_wide_of(ek_real_quotient(1, n))));
    return EK_OK;
}

static ek_real slope(ek_activation activation, ek_real y) {
    if (activation == EK_RELU) {
        return y > 0 ? EK_REAL(1) : 0;
    }
    return activation == EK_TANH ? ek_sub(EK_REAL(1), ek_mul(y, y)) : EK_REAL(1);
}

/* Errors of the layer before, from those of this one. */
static void layer_backward(const ek_layer *layer, const ek_layer *before, const ek_real *error,
                           const ek_real *x, ek_real *error_before) {
    for (uint32_t i = 0; i < layer->inputs; i++) {
        ek_wide sum = ek_wide_of(0);
        for (uint32_t j = 0; j < layer->outputs; j++) {
            sum = ek_wide_add(sum, layer->weights[(size_t)j * layer->inputs + i], error[j]);
        }
        error_before[i] = ek_mul(ek_wide_real(sum), slope(before->activation, x[i]));
    }
}

static ek_wide squares(const ek_real *values, uint32_t first, uint32_t n) {
    ek_wide sum = ek_wide_of(0);
    for (uint32_t i = first; i < n; i++) {
        sum = ek_wide_add(sum, values[i], values[i]);
    }
    return sum;
}

/* The rows of a layer from first on, one step further. */
static void layer_step(const ek_layer *layer, const ek_step_rule *rule, const ek_real *error,
                       const ek_real *x, uint32_t first) {
    for (uint32_t j = first; j < layer->outputs; j++) {
        const size_t row = (size_t)j * layer->inputs;
        ek_real *w = layer->weights + row;
        if (layer->weights_velocity == NULL) {
            const ek_real step = ek_mul(rule->rate, error[j]);
            const ek_real shrink = ek_mul(rule->rate, rule->decay);
            for (uint32_t i = 0; i < layer->inputs; i++) {
                w[i] = ek_sub(w[i], ek_add(ek_mul(step, x[i]), ek_mul(shrink, w[i])));
            }
            layer->bias[j] = ek_sub(layer->bias[j], step);
            continue;
        }
        ek_real *v = layer->weights_velocity + row;
        for (uint32_t i = 0; i < layer->inputs; i++) {
            const ek_real g = ek_add(ek_mul(error[j], x[i]), ek_mul(rule->decay, w[i]));
            v[i] = ek_add(ek_mul(rule->momentum, v[i]), g);
            w[i] = ek_sub(w[i], ek_mul(rule->rate, v[i]));
        }
        layer->bias_velocity[j] = ek_add(ek_mul(rule->momentum, layer->bias_velocity[j]), error[j]);
        layer->bias[j] = ek_sub(layer->bias[j], ek_mul(rule->rate, layer->bias_velocity[j]));
    }
}

/* The norm of the gradient of all parameters: of a layer |error|^2 (|x|^2 + 1). */
static ek_wide gradient_norm(const ek_net *net, const ek_real *x, uint32_t first_row) {
    ek_wide sum = ek_wide_of(0);
    for (uint32_t l = 0; l < net->count; l++) {
        const ek_layer *layer = &net->layers[l];
        const uint32_t first = l + 1U == net->count ? first_row : 0U;
        const ek_wide errors = squares(errors_of(net, l), first, layer->outputs);
        const ek_wide inputs = squares(x, 0, layer->inputs) + ek_wide_of(EK_REAL(1));
        sum = sum + ek_wide_mul(errors, inputs);
        x = outputs_of(net, l);
    }
    return ek_wide_sqrt(sum);
}

ek_status ek_net_backward(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                          uint32_t first_row) {
    for (uint32_t l = net->count - 1U; l > 0U; l--) {
        layer_backward(&net->layers[l], &net->layers[l - 1U], errors_of(net, l),
                       outputs_of(net, l - 1U), errors_of(net, l - 1U));
    }
    /* A finite norm, clipped to 100, moves no weight by more than 1e6: weights stay finite. */
    const ek_wide norm = gradient_norm(net, x, first_row);
    if (norm - norm != 0) {
        return EK_ERR_NOT_FINITE;
    }
    if (norm > ek_wide_of(rule->clip)) {
        const ek_real factor = ek_wide_ratio(rule->clip, norm);
        ek_real *error = errors_of(net, 0);
        for (size_t i = 0; i < outputs_of_all(net); i++) {
            error[i] = ek_mul(error[i], factor);
        }
    }
    return EK_OK;
}

void ek_net_apply(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                  uint32_t first_row) {
    for (uint32_t l = 0; l < net->count; l++) {
        layer_step(&net->layers[l], rule, errors_of(net, l), l == 0U ? x : outputs_of(net, l - 1U),
                   l + 1U == net->count ? first_row : 0U);
    }
}

ek_status ek_net_learn(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                       uint32_t first_row) {
    const ek_status status = ek_net_backward(net, rule, x, first_row);
    if (status == EK_OK) {
        ek_net_apply(net, rule, x, first_row);
    }
    return status;
}

ek_status ek_net_step(const ek_net *net, const ek_step_rule *rule, const ek_real *x,
                      const ek_target *target, ek_real *loss) {
    ek_real before;
    ek_status status = ek_net_forward(net, x);
    if (status == EK_OK) {
        status = ek_net_compare(net, target, &before);
    }
    if (status == EK_OK) {
        status = ek_net_learn(net, rule, x, 0);
    }
    if (status == EK_OK) {
        *loss = before;
    }
    return status;
}
