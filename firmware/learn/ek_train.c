#include "ek_train.h"

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

static float stepped(float w, float gradient, const ek_train_rule *rule) {
    return w - rule->rate * (gradient + rule->decay * w);
}

static int step_is_finite(const ek_trainer *head, const ek_train_rule *rule, const int8_t *x,
                          const float *g) {
    float sum = 0.0f;
    for (uint32_t j = 0; j < head->classes; j++) {
        const float *w = head->weights + (size_t)j * head->features;
        for (uint32_t i = 0; i < head->features; i++) {
            sum = sum + not_finite(stepped(w[i], g[j] * feature(head, x[i]), rule));
        }
        sum = sum + not_finite(head->bias[j] - rule->rate * g[j]);
    }
    return sum == 0.0f;
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
    if (!step_is_finite(head, rule, x, p)) {
        return EK_ERR_NOT_FINITE;
    }
    for (uint32_t j = 0; j < head->classes; j++) {
        float *w = head->weights + (size_t)j * head->features;
        for (uint32_t i = 0; i < head->features; i++) {
            w[i] = stepped(w[i], p[j] * feature(head, x[i]), rule);
        }
        head->bias[j] = head->bias[j] - rule->rate * p[j];
    }
    *loss = sample_loss;
    return EK_OK;
}

ek_status ek_head_train_epoch(const ek_trainer *head, const ek_train_rule *rule,
                              const ek_train_set *set, float *p, float *mean_loss) {
    float sum = 0.0f;
    if (set->count == 0U) {
        return EK_ERR_ARGUMENT;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        float loss = 0.0f;
        ek_status status = ek_head_train(head, rule, set->features + (size_t)i * head->features,
                                         set->labels[i], p, &loss);
        if (status != EK_OK) {
            return status;
        }
        sum = sum + loss;
    }
    *mean_loss = sum / (float)set->count;
    return EK_OK;
}
