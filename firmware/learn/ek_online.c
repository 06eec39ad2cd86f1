#include "ek_online.h"

#include <string.h>

#include "../link/ek_wire.h"

#define IN_BATCH 0x80000000U
#define COUNTS 2U /* words in front of the state: classes, steps */

typedef struct places {
    size_t scratch; /* words */
    size_t state;
    size_t head; /* of one copy of the head, in numbers */
    size_t copies;
} places;

static int keeps_rows(const ek_online_plan *plan) {
    return plan->method == EK_LWF || plan->method == EK_CWR;
}

static places places_of(const ek_online_plan *plan) {
    places need;
    const size_t most = plan->most_classes;
    need.head = most * plan->features + most;
    need.copies = 1U + (plan->rule.momentum > 0 ? 1U : 0U) + (keeps_rows(plan) ? 1U : 0U);
    need.scratch = plan->features + 2U * most + (plan->method == EK_LWF ? most : 0U);
    need.state = COUNTS + 2U * most + need.copies * need.head;
    return need;
}

static int plan_is_sound(const ek_online_plan *plan) {
    const int square = plan->loss == EK_SQUARE;
    return plan->features >= 1U && plan->features <= EK_NET_WIDTH_MAX && plan->classes >= 1U &&
           plan->classes <= plan->most_classes && plan->most_classes <= EK_ONLINE_CLASSES_MAX &&
           plan->scale > 0.0f && plan->scale < 1e6f && plan->zero_point >= -128 &&
           plan->zero_point <= 127 && plan->method <= EK_CWR && plan->loss <= EK_SQUARE &&
           (plan->method != EK_CWR || (plan->batch >= 1U && plan->batch <= 65535U)) &&
           (!square || (plan->method == EK_OL && plan->classes == plan->most_classes)) &&
           ek_step_rule_check(&plan->rule) == EK_OK;
}

size_t ek_online_bytes(const ek_online_plan *plan) {
    if (!plan_is_sound(plan)) {
        return 0;
    }
    const places need = places_of(plan);
    return 4U * (need.scratch + need.state);
}

/* Weights lie as [K_max, h], the biases of all rows behind them. */
static void lay(ek_online *online, ek_real *memory) {
    const ek_online_plan *plan = &online->plan;
    const places need = places_of(plan);
    const size_t most = plan->most_classes;
    const size_t weights = most * plan->features;
    online->net.scratch = memory;
    online->x = memory + 2U * most;
    online->old = online->x + plan->features;
    uint32_t *counts = (uint32_t *)(void *)(memory + need.scratch);
    online->labels = counts + COUNTS;
    online->batches = online->labels + most;
    ek_real *head = (ek_real *)(void *)(online->batches + most);
    ek_layer *layer = &online->layer;
    layer->weights = head;
    layer->bias = head + weights;
    layer->inputs = plan->features;
    layer->outputs = online->classes;
    layer->activation = EK_LINEAR;
    layer->weights_velocity = plan->rule.momentum > 0 ? head + need.head : NULL;
    layer->bias_velocity = plan->rule.momentum > 0 ? head + need.head + weights : NULL;
    online->kept = keeps_rows(plan) ? head + (need.copies - 1U) * need.head : NULL;
    online->net.layers = layer;
    online->net.count = 1;
    online->net.loss = plan->loss;
}

ek_status ek_online_start(ek_online *online, const ek_online_plan *plan, const uint8_t *weights,
                          const uint8_t *bias, void *memory, size_t bytes) {
    const size_t need = ek_online_bytes(plan);
    if (need == 0U) {
        return EK_ERR_RANGE;
    }
    if (bytes < need) {
        return EK_ERR_SPACE;
    }
    memset(memory, 0, need); /* zero in both kinds of number */
    online->plan = *plan;
    online->scale = ek_real_of(plan->scale);
    online->classes = plan->classes;
    online->steps = 0;
    lay(online, memory);
    const size_t known = (size_t)plan->classes * plan->features;
    for (size_t i = 0; i < known && weights != NULL; i++) {
        online->layer.weights[i] = ek_real_of(ek_wire_get_f32(weights + 4U * i));
    }
    for (uint32_t j = 0; j < plan->classes; j++) {
        online->layer.bias[j] = bias == NULL ? 0 : ek_real_of(ek_wire_get_f32(bias + 4U * j));
        online->labels[j] = j;
        online->batches[j] = 1; /* what the model knows counts as one batch */
    }
    if (online->kept != NULL) {
        memcpy(online->kept, online->layer.weights, places_of(plan).head * sizeof(ek_real));
    }
    return EK_OK;
}

static void read_features(const ek_online *online, const int8_t *q) {
    for (uint32_t i = 0; i < online->plan.features; i++) {
        online->x[i] = ek_real_times(q[i] - online->plan.zero_point, online->scale);
    }
}

/* The answer of the kept copy of the head, for its first n classes. */
static ek_status kept_answer(const ek_online *online, uint32_t n, ek_real *p) {
    ek_layer layer = online->layer;
    layer.weights = online->kept;
    layer.bias = online->kept + (size_t)online->plan.most_classes * online->plan.features;
    layer.outputs = n;
    ek_net net = online->net;
    net.layers = &layer;
    net.scratch = p;
    return ek_net_forward(&net, online->x);
}

ek_status ek_online_predict(const ek_online *online, const int8_t *q, ek_real *p) {
    read_features(online, q);
    if (online->plan.method == EK_CWR) {
        return kept_answer(online, online->classes, p);
    }
    const ek_status status = ek_net_forward(&online->net, online->x);
    if (status == EK_OK) {
        memcpy(p, ek_net_output(&online->net), online->classes * sizeof *p);
    }
    return status;
}

ek_status ek_online_row(const ek_online *online, uint32_t label, uint32_t *row) {
    for (uint32_t j = 0; j < online->classes; j++) {
        if (online->labels[j] == label) {
            *row = j;
            return EK_OK;
        }
    }
    return EK_ERR_LABEL;
}

static void set_classes(ek_online *online, uint32_t classes) {
    online->classes = classes;
    online->layer.outputs = classes;
}

/* g = (1 - w) (p - t) + w (p - p_old), w = 100 / (100 + steps) */
static ek_status pull_to_old(const ek_online *online) {
    const uint32_t known = online->plan.classes;
    const ek_real weight = ek_real_quotient(100, 100U + online->steps);
    const ek_real rest = ek_sub(EK_REAL(1), weight);
    const ek_real *p = ek_net_output(&online->net);
    ek_real *error = ek_net_error(&online->net);
    const ek_status status = kept_answer(online, known, online->old);
    for (uint32_t j = 0; j < online->classes && status == EK_OK; j++) {
        const ek_real off = j < known ? ek_sub(p[j], online->old[j]) : p[j];
        error[j] = ek_add(ek_mul(rest, error[j]), ek_mul(weight, off));
    }
    return status;
}

/* kept += (row - kept) / (batches + 1) for each class of the batch; all rows begin from there. */
static void keep_rows(ek_online *online) {
    const uint32_t h = online->plan.features;
    ek_real *kept_bias = online->kept + (size_t)online->plan.most_classes * h;
    for (uint32_t j = 0; j < online->classes; j++) {
        ek_real *kept = online->kept + (size_t)j * h;
        ek_real *w = online->layer.weights + (size_t)j * h;
        if ((online->batches[j] & IN_BATCH) != 0U) {
            online->batches[j] -= IN_BATCH;
            const ek_real share = ek_real_quotient(1, online->batches[j] + 1U);
            for (uint32_t i = 0; i < h; i++) {
                kept[i] = ek_add(kept[i], ek_mul(ek_sub(w[i], kept[i]), share));
            }
            kept_bias[j] =
                ek_add(kept_bias[j], ek_mul(ek_sub(online->layer.bias[j], kept_bias[j]), share));
            online->batches[j] += online->batches[j] < 65535U ? 1U : 0U;
        }
        memcpy(w, kept, h * sizeof *w);
        online->layer.bias[j] = kept_bias[j];
    }
}

static ek_status learn(ek_online *online, const int8_t *q, const ek_target *target, ek_real *loss) {
    const ek_method method = online->plan.method;
    ek_real before;
    read_features(online, q);
    ek_status status = ek_net_forward(&online->net, online->x);
    if (status == EK_OK) {
        status = ek_net_compare(&online->net, target, &before);
    }
    if (status == EK_OK && method == EK_LWF) {
        status = pull_to_old(online);
    }
    if (status == EK_OK) {
        status = ek_net_learn(&online->net, &online->plan.rule, online->x,
                              method == EK_OL_V2 ? online->plan.classes : 0U);
    }
    if (status != EK_OK) {
        return status;
    }
    *loss = before;
    online->steps++;
    if (method == EK_CWR) {
        online->batches[target->label] |= IN_BATCH;
        if (online->steps % online->plan.batch == 0U) {
            keep_rows(online);
        }
    }
    return EK_OK;
}

ek_status ek_online_learn(ek_online *online, const int8_t *q, uint32_t label, ek_real *loss) {
    ek_target target = {NULL, 0};
    const uint32_t classes = online->classes;
    if (online->plan.loss != EK_SOFTMAX) {
        return EK_ERR_STATE;
    }
    if (ek_online_row(online, label, &target.label) != EK_OK) {
        if (classes == online->plan.most_classes) {
            return EK_ERR_SPACE;
        }
        /* Its row is 0 since the start. */
        target.label = classes;
        online->labels[classes] = label;
        set_classes(online, classes + 1U);
    }
    const ek_status status = learn(online, q, &target, loss);
    if (status != EK_OK && online->classes > classes) {
        online->labels[classes] = 0;
        set_classes(online, classes);
    }
    return status;
}

ek_status ek_online_fit(ek_online *online, const int8_t *q, const ek_real *values, ek_real *loss) {
    const ek_target target = {values, 0};
    return online->plan.loss == EK_SQUARE ? learn(online, q, &target, loss) : EK_ERR_STATE;
}

uint32_t *ek_online_state(const ek_online *online, size_t *words) {
    *words = places_of(&online->plan).state;
    return online->labels - COUNTS;
}

/* Above the number of classes: what the copies of the head mean. */
static uint32_t kind_of(const ek_online_plan *plan) {
    return ((uint32_t)plan->method + 1U + (plan->rule.momentum > 0 ? 4U : 0U)) << 16;
}

void ek_online_put_counts(ek_online *online) {
    online->labels[-2] = online->classes + kind_of(&online->plan);
    online->labels[-1] = online->steps;
}

ek_status ek_online_take_counts(ek_online *online) {
    const uint32_t classes = online->labels[-2] - kind_of(&online->plan);
    if (classes < online->plan.classes || classes > online->plan.most_classes) {
        return EK_ERR_RANGE;
    }
    online->steps = online->labels[-1];
    set_classes(online, classes);
    return EK_OK;
}
