/* Start of a program that learns from made-up samples and tells, per case, what a step costs and
 * what was learnt: a line of case, step's ticks, checksum. Twin: edgekit/flash/learn_probe.py */
#include <string.h>

#include "../agent/ek_line.h"
#include "ek_frame.h"
#include "ek_moments.h"
#include "ek_net.h"
#include "ek_online.h"
#include "ek_port.h"

enum { WARM = 32, MEASURED = 16, STEPS = WARM + MEASURED, FEATURES_MOST = 256, INPUTS = 40 };

int main(void);

typedef struct probe_case {
    ek_method method;
    uint32_t features;
    uint32_t classes;
    uint32_t most;
    int momentum;
} probe_case;

static const probe_case cases[] = {
    {EK_OL, 64, 12, 12, 0},  {EK_OL_V2, 64, 10, 12, 0}, {EK_LWF, 64, 12, 12, 0},
    {EK_CWR, 64, 12, 12, 0}, {EK_OL, 64, 12, 12, 1},    {EK_OL, 16, 3, 5, 0},
    {EK_OL, 256, 4, 4, 0},   {EK_OL, 16, 40, 40, 0},    {EK_OL, 128, 20, 24, 1},
    {EK_LWF, 16, 3, 5, 0},   {EK_LWF, 256, 4, 4, 0},    {EK_LWF, 16, 40, 40, 0},
    {EK_CWR, 16, 3, 5, 0},   {EK_CWR, 256, 4, 4, 0},    {EK_CWR, 16, 40, 40, 0},
    {EK_OL, 16, 40, 40, 1},  {EK_OL, 256, 4, 4, 1},     {EK_OL_V2, 128, 2, 12, 0},
    {EK_OL, 100, 20, 20, 0}, {EK_LWF, 100, 20, 20, 0},  {EK_CWR, 100, 20, 20, 0},
    {EK_OL, 100, 20, 20, 1},
};

static const uint32_t net_sizes[] = {1, 32, 32, 1};

static _Alignas(16) uint8_t memory[32768];
static uint32_t seed;

/* Source: W. H. Press et al., Numerical Recipes, "quick and dirty" generator. */
static uint32_t draw(void) {
    seed = seed * 1664525U + 1013904223U;
    return seed >> 8;
}

static void say(const char *what, uint32_t number, uint32_t ticks, uint32_t crc, ek_status status) {
    ek_line line;
    ek_line_start(&line, what);
    ek_line_number(&line, number);
    ek_line_text(&line, " ");
    ek_line_number(&line, ticks);
    ek_line_text(&line, " ");
    ek_line_number(&line, crc);
    ek_line_text(&line, " ");
    ek_line_number(&line, (uint32_t)-status);
    ek_port_log(line.text);
}

static void probe_head(uint32_t number) {
    const probe_case *task = &cases[number];
    ek_online_plan plan;
    ek_online online;
    int8_t q[FEATURES_MOST];
    ek_real loss;
    uint32_t total = 0;
    size_t words;
    memset(&plan, 0, sizeof plan);
    plan.features = task->features;
    plan.classes = task->classes;
    plan.most_classes = task->most;
    plan.scale = 0.0625f;
    plan.zero_point = -5;
    plan.method = task->method;
    plan.loss = EK_SOFTMAX;
    plan.batch = MEASURED;
    plan.rule.rate = EK_REAL(0.03125);
    plan.rule.momentum = task->momentum != 0 ? EK_REAL(0.5) : 0;
    plan.rule.decay = EK_REAL(0.0078125);
    plan.rule.clip = EK_REAL(10);
    ek_status status = ek_online_start(&online, &plan, NULL, NULL, memory, sizeof memory);
    seed = number + 1U;
    for (uint32_t i = 0; i < STEPS && status == EK_OK; i++) {
        const uint32_t label = draw() % task->most;
        for (uint32_t f = 0; f < task->features; f++) {
            q[f] = (int8_t)((int32_t)(draw() % 64U) - 32 + (int32_t)((label * 7U + f * 5U) % 40U));
        }
        const uint32_t start = ek_port_ticks();
        status = ek_online_learn(&online, q, label, &loss);
        total = i < WARM ? 0U : total + (ek_port_ticks() - start);
    }
    ek_online_put_counts(&online);
    const uint8_t *state = (const uint8_t *)ek_online_state(&online, &words);
    say("head ", number, total, ek_crc32(0, state, 4U * words), status);
}

/* Inputs by their own mean and variance; what is left of both, and the last one. */
static void probe_inputs(void) {
    ek_real *values = (ek_real *)(void *)memory;
    ek_real x[INPUTS];
    int8_t q[INPUTS];
    ek_moments moments = {values, values + INPUTS, INPUTS, 0, 40, EK_REAL(0.0625)};
    uint32_t total = 0;
    ek_status status = EK_OK;
    memset(memory, 0, 2U * sizeof x);
    seed = 7;
    for (uint32_t i = 0; i < STEPS && status == EK_OK; i++) {
        for (uint32_t f = 0; f < INPUTS; f++) {
            q[f] = (int8_t)((int32_t)(draw() % (8U + f)) - 100 + (int32_t)f);
        }
        const uint32_t start = ek_port_ticks();
        status = ek_moments_standardize(&moments, EK_REAL(0.046875), -90, x, q);
        total = i < WARM ? 0U : total + (ek_port_ticks() - start);
    }
    const uint32_t crc = ek_crc32(0, memory, 2U * sizeof x);
    say("inputs ", moments.count, total, ek_crc32(crc, (const uint8_t *)q, INPUTS), status);
}

static void probe_net(void) {
    ek_layer layers[3];
    ek_real *values = (ek_real *)(void *)memory;
    const ek_step_rule rule = {EK_REAL(0.0078125), 0, 0, EK_REAL(10)};
    ek_net net = {layers, 3, EK_SQUARE, NULL};
    ek_status status = ek_net_lay(layers, 3, net_sizes, EK_TANH, values, NULL);
    const size_t count = ek_net_parameters(&net);
    uint32_t total = 0;
    net.scratch = values + count;
    seed = 99;
    for (size_t i = 0; i < count; i++) {
        values[i] = ek_real_of((float)((int32_t)(draw() % 512U) - 256) * 0.0009765625f);
    }
    for (uint32_t i = 0; i < STEPS && status == EK_OK; i++) {
        const ek_real x = ek_real_of((float)((int32_t)(draw() % 1024U) - 512) * 0.0078125f);
        const ek_real y = ek_real_of((float)((int32_t)(draw() % 1024U) - 512) * 0.0078125f);
        const ek_target target = {&y, 0};
        ek_real loss;
        const uint32_t start = ek_port_ticks();
        status = ek_net_step(&net, &rule, &x, &target, &loss);
        total = i < WARM ? 0U : total + (ek_port_ticks() - start);
    }
    say("net ", 0, total, ek_crc32(0, memory, count * sizeof(ek_real)), status);
    say("bytes ", (uint32_t)ek_net_step_bytes(&net), (uint32_t)ek_net_batch_bytes(&net, 32),
        (uint32_t)(count * sizeof(ek_real)), EK_OK);
}

int main(void) {
    ek_port_init();
    for (uint32_t number = 0; number < sizeof cases / sizeof *cases; number++) {
        probe_head(number);
    }
    probe_inputs();
    probe_net();
    ek_port_exit(0);
    return 0;
}
