#include "ek_train.h"

#include "../link/ek_wire.h"
#include "ek_exp.h"

static float feature(const ek_trainer *head, int8_t q) {
    return (float)(q - head->zero_point) * head->scale;
}

/* 0 for every finite number, not 0 for the others: their sum over many says whether all are finite.
 */
static float not_finite(float value) {
    return value * 0.0f;
}

/* p = exp(logit - largest logit); returns their sum. */
static float exponentials(const ek_trainer *head, const int8_t *x, float *p) {
    float largest = 0.0f;
    for (uint32_t j = 0; j < head->classes; j++) {
        const float *w = head->weights + (size_t)j * head->features;
        float logit = head->bias[j];
        for (uint32_t i = 0; i < head->features; i++) {
            logit = logit + w[i] * feature(head, x[i]);
        }
        p[j] = logit;
        largest = j == 0U || logit > largest ? logit : largest;
    }
    float sum = 0.0f;
    for (uint32_t j = 0; j < head->classes; j++) {
        p[j] = ek_exp_f32(p[j] - largest);
        sum = sum + p[j];
    }
    return sum;
}

/* True if the sum of softmax is what finite logits give. */
static int sum_is_sound(const ek_trainer *head, float sum) {
    return sum >= 1.0f && sum <= (float)head->classes;
}

ek_status ek_head_predict(const ek_trainer *head, const int8_t *x, float *p) {
    const float sum = exponentials(head, x, p);
    if (!sum_is_sound(head, sum)) {
        return EK_ERR_NOT_FINITE;
    }
    for (uint32_t j = 0; j < head->classes; j++) {
        p[j] = p[j] / sum;
    }
    return EK_OK;
}

/* A parameter after a step, and after the pull of FedProx towards the base. */
static float stepped(float w, float gradient, const ek_train_rule *rule, size_t index) {
    const float moved = w - rule->rate * gradient;
    if (rule->mu == 0.0f) {
        return moved;
    }
    return moved - rule->rate * rule->mu * (w - ek_wire_get_f32(rule->base + 4U * index));
}

/* Steps all parameters from rule->first on; without write it only says, by 0, that the step is
 * finite. */
static float step(const ek_trainer *head, const ek_train_rule *rule, const int8_t *x,
                  const float *g, int write) {
    const size_t weights = (size_t)head->classes * head->features;
    float sum = 0.0f;
    for (size_t j = 0, row = 0; j < head->classes; j++, row += head->features) {
        float *w = head->weights + row;
        for (size_t i = rule->first > row ? rule->first - row : 0U; i < head->features; i++) {
            const float gradient = g[j] * feature(head, x[i]) + rule->decay * w[i];
            const float value = stepped(w[i], gradient, rule, row + i);
            sum = sum + not_finite(value);
            w[i] = write ? value : w[i];
        }
        if (weights + j >= rule->first) {
            const float value = stepped(head->bias[j], g[j], rule, weights + j);
            sum = sum + not_finite(value);
            head->bias[j] = write ? value : head->bias[j];
        }
    }
    return sum;
}

ek_status ek_head_train(const ek_trainer *head, const ek_train_rule *rule, const int8_t *x,
                        uint32_t label, float *p, float *loss) {
    if (label >= head->classes) {
        return EK_ERR_LABEL;
    }
    const float sum = exponentials(head, x, p);
    if (!sum_is_sound(head, sum)) {
        return EK_ERR_NOT_FINITE;
    }
    /* -log(p / sum); a probability that became 0 counts as the smallest normal number. */
    const float smallest = 1.17549435e-38f;
    const float sample_loss =
        ek_log_f32(sum) - ek_log_f32(p[label] > smallest ? p[label] : smallest);
    for (uint32_t j = 0; j < head->classes; j++) {
        p[j] = p[j] / sum - (j == label ? 1.0f : 0.0f);
    }
    if (step(head, rule, x, p, 0) != 0.0f) {
        return EK_ERR_NOT_FINITE;
    }
    (void)step(head, rule, x, p, 1);
    *loss = sample_loss;
    return EK_OK;
}

uint32_t ek_train_first(const ek_trainer *head, uint32_t local, uint32_t sample, uint32_t count) {
    const uint32_t all = head->classes * (head->features + 1U);
    return local > 0U && sample < count - sample ? all - local : 0U;
}

ek_status ek_head_train_epoch(const ek_trainer *head, const ek_train_rule *rule,
                              const ek_train_set *set, float *p, float *mean_loss) {
    float sum = 0.0f;
    if (set->count == 0U) {
        return EK_ERR_ARGUMENT;
    }
    ek_train_rule now = *rule;
    for (uint32_t i = 0; i < set->count; i++) {
        float loss = 0.0f;
        now.first = ek_train_first(head, rule->local, i, set->count);
        ek_status status = ek_head_train(head, &now, set->features + (size_t)i * head->features,
                                         set->labels[i], p, &loss);
        if (status != EK_OK) {
            return status;
        }
        sum = sum + loss;
    }
    *mean_loss = sum / (float)set->count;
    return EK_OK;
}
