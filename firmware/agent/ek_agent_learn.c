/* A federated task: fetch the head, train it on the board's samples, hold the update ready. */
#include <string.h>

#include "../learn/ek_learn.h"
#include "../link/ek_frame.h"
#include "../link/ek_wire.h"
#include "ek_agent.h"
#include "ek_port.h"
#include "monocypher.h"

#define SAMPLES_PER_STEP 32U
#define EPOCHS_MAX 1000U

void ek_learn_set_phase(ek_agent *agent, ek_learn_phase phase, ek_status status) {
    if (agent->learn.phase == EK_LEARN_FETCH && phase != EK_LEARN_FETCH &&
        agent->pull_owner == EK_PULL_HEAD) {
        agent->pull_owner = EK_PULL_NOBODY;
    }
    agent->learn.phase = phase;
    agent->learn.status = status;
    agent->report.due = true;
}

void ek_learn_refuse(ek_agent *agent, ek_status status) {
    ek_learn_set_phase(agent, EK_LEARN_REFUSED, status);
    ek_agent_log_status(agent, "task refused", status);
}

static bool is_working(ek_learn_phase phase) {
    return phase == EK_LEARN_FETCH || phase == EK_LEARN_FEATURES || phase == EK_LEARN_TRAIN ||
           phase == EK_LEARN_SECURE;
}

/* Points the trainer at the floats, with the shape of the active image's head. */
static ek_status open_trainer(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    if (!agent->has_image) {
        return EK_ERR_STATE;
    }
    ek_status status = ek_image_head(&agent->image, &learn->head);
    if (status != EK_OK) {
        return status;
    }
    const ek_head *head = &learn->head;
    if (head->classes > EK_TRAIN_CLASSES_MAX || head->features > EK_HEAD_FLOATS_MAX ||
        ek_head_float_bytes(head->classes, head->features) > sizeof learn->memory.round.floats) {
        return EK_ERR_SPACE;
    }
    learn->trainer.weights = learn->memory.round.floats;
    learn->trainer.bias = learn->memory.round.floats + (size_t)head->classes * head->features;
    learn->trainer.classes = head->classes;
    learn->trainer.features = head->features;
    learn->trainer.scale = head->scale;
    learn->trainer.zero_point = head->zero_point;
    return EK_OK;
}

void ek_learn_image_changed(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    if (is_working(learn->phase)) {
        ek_learn_refuse(agent, EK_ERR_BASE);
    }
    agent->has_head_hash = false;
    ek_online_close(agent, false);
    if (open_trainer(agent) != EK_OK) {
        return;
    }
    const uint8_t *image = agent->state.slots[agent->state.active].image;
    const ek_head *head = &learn->head;
    const uint8_t *trained = ek_learn_head(image, head->classes, head->features);
    /* In the image, too, the bias lies behind the weights. */
    ek_head_floats_read(trained == NULL ? head->weights : trained, &learn->trainer);
    ek_head_hash(&learn->trainer, agent->head_hash);
    agent->has_head_hash = true;
}

static uint32_t parameters(const ek_agent_learn *learn) {
    return learn->trainer.classes * (learn->trainer.features + 1U);
}

/* How the update is to travel; its rounding follows from device, run and round. */
static ek_codec codec_of(const ek_agent *agent) {
    const ek_task *task = &agent->learn.task;
    uint8_t said[12];
    ek_wire_put_u64(said, task->run);
    ek_wire_put_u32(said + 8, task->round);
    const char *id = agent->provision.id;
    const uint32_t name = ek_crc32(0, (const uint8_t *)id, strlen(id));
    const ek_codec codec = {task->codec, task->entries, ek_crc32(name, said, sizeof said)};
    return codec;
}

/* What a task says of its numbers and its codec, for a head of size parameters. */
static ek_status check_numbers(const ek_task *task, uint32_t size) {
    if (task->epochs == 0U || task->epochs > EPOCHS_MAX || task->rate < 0.0f ||
        task->decay < 0.0f || task->mu < 0.0f) {
        return EK_ERR_RANGE;
    }
    if (task->local >= size) {
        return EK_ERR_SHAPE;
    }
    const bool sparse = ek_codec_is_sparse(task->codec);
    if (sparse != (task->entries > 0U) || task->entries > size - task->local) {
        return EK_ERR_RANGE;
    }
    if (task->feedback == 0U) {
        return EK_OK;
    }
    return task->codec == EK_CODEC_FLOAT32 ? EK_ERR_RANGE : ek_learn_round_fits(size);
}

static ek_status check_task(ek_agent *agent, const ek_task *task) {
    ek_sample_room room;
    ek_status status = open_trainer(agent);
    if (status == EK_OK) {
        status = check_numbers(task, parameters(&agent->learn));
    }
    if (status != EK_OK) {
        return status;
    }
    const ek_trainer *trainer = &agent->learn.trainer;
    if (task->bytes !=
        EK_HEAD_OBJECT_HEAD_BYTES + ek_head_float_bytes(trainer->classes, trainer->features)) {
        return EK_ERR_SHAPE;
    }
    agent->learn.samples = (uint32_t)ek_port_sample_count();
    if (agent->learn.samples == 0U) {
        return EK_ERR_STATE;
    }
    return ek_sample_room_find(agent, &room) ? EK_OK : EK_ERR_ARENA;
}

void ek_learn_desired(ek_agent *agent, const ek_desired *desired, uint64_t now_ms) {
    ek_agent_learn *learn = &agent->learn;
    const ek_task *task = &desired->task;
    if (!desired->has_task) {
        if (learn->phase != EK_LEARN_IDLE) {
            ek_learn_set_phase(agent, EK_LEARN_IDLE, EK_OK);
        }
        return;
    }
    if (learn->phase != EK_LEARN_IDLE && learn->task.run == task->run &&
        learn->task.round == task->round && learn->task.phase == task->phase) {
        return; /* already at it, or done */
    }
    ek_online_close(agent, true);
    ek_learn_set_phase(agent, EK_LEARN_IDLE, EK_OK);
    learn->task = *task;
    learn->deadline_ms = now_ms + (uint64_t)task->deadline_s * 1000U;
    learn->samples = 0;
    ek_status status = check_task(agent, task);
    if (status != EK_OK) {
        ek_learn_refuse(agent, status);
        return;
    }
    if (task->phase != 0U) {
        ek_secure_task(agent);
        return;
    }
    ek_learn_set_phase(agent, EK_LEARN_FETCH, EK_OK);
    ek_line line;
    ek_line_start(&line, "task round ");
    ek_line_number(&line, task->round);
    ek_line_text(&line, " samples ");
    ek_line_number(&line, learn->samples);
    ek_agent_log(agent, 1, &line);
}

static void start_training(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    learn->sample = 0;
    learn->epoch = 0;
    learn->loss_sum = 0.0f;
    ek_status status = ek_port_sample_rewind();
    if (status != EK_OK) {
        ek_learn_refuse(agent, status);
        return;
    }
    ek_learn_set_phase(agent, EK_LEARN_TRAIN, EK_OK);
}

static void head_received(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    const uint8_t *object = learn->memory.round.exchange + EK_HEAD_OBJECT_AT;
    ek_status status = ek_head_object_open(object, learn->task.bytes, learn->trainer.classes,
                                           learn->trainer.features, learn->task.base_hash);
    if (status != EK_OK) {
        ek_learn_refuse(agent, status);
        return;
    }
    ek_head_floats_read(object + EK_HEAD_OBJECT_HEAD_BYTES, &learn->trainer);
    const uint8_t *image = agent->state.slots[agent->state.active].image;
    const size_t per_sample = 2U + (size_t)learn->trainer.features;
    const bool fits = learn->samples <= sizeof learn->cache / per_sample;
    if (learn->has_cache && learn->cache_samples == learn->samples &&
        memcmp(learn->cache_image, image, 32) == 0) {
        start_training(agent);
    } else if (fits) {
        learn->has_cache = false;
        memcpy(learn->cache_image, image, 32);
        learn->cache_samples = learn->samples;
        learn->sample = 0;
        status = ek_port_sample_rewind();
        if (status == EK_OK) {
            ek_learn_set_phase(agent, EK_LEARN_FEATURES, EK_OK);
        } else {
            ek_learn_refuse(agent, status);
        }
    } else {
        learn->has_cache = false;
        start_training(agent);
    }
}

/* True if a phase of secure aggregation waits for its object. */
static bool needs_input(const ek_agent *agent) {
    return agent->learn.task.phase != 0U && !agent->secure.has_input;
}

void ek_learn_chunk(ek_agent *agent, const uint8_t *bytes, uint32_t n) {
    /* check_task and ek_secure_task proved that the whole object fits. */
    const bool input = needs_input(agent);
    uint8_t *object = agent->learn.memory.round.exchange + (input ? 0U : EK_HEAD_OBJECT_AT);
    memcpy(object + agent->pull.base, bytes, n);
    ek_pull_take(&agent->pull);
    if (ek_pull_done(&agent->pull)) {
        agent->pull_owner = EK_PULL_NOBODY;
        if (input) {
            ek_secure_input(agent);
        } else {
            head_received(agent);
        }
    }
}

static ek_status next_features(ek_agent *agent, int8_t *features, uint16_t *label) {
    const ek_status status = ek_learn_features(agent, NULL, features, label);
    return status == EK_OK && *label >= agent->learn.trainer.classes ? EK_ERR_LABEL : status;
}

static int8_t *cached_features(ek_agent_learn *learn, uint32_t sample) {
    return (int8_t *)(learn->cache + 2U * (size_t)learn->samples +
                      (size_t)sample * learn->trainer.features);
}

static void features_step(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    uint16_t label = 0;
    ek_status status = next_features(agent, cached_features(learn, learn->sample), &label);
    if (status != EK_OK) {
        ek_learn_refuse(agent, status);
        return;
    }
    ek_wire_put_u16(learn->cache + 2U * (size_t)learn->sample, label);
    learn->sample++;
    if (learn->sample == learn->samples) {
        learn->has_cache = true;
        start_training(agent);
    }
}

/* Where the floats of the head lie that the round began with. */
static uint8_t *base_floats(ek_agent_learn *learn) {
    return learn->memory.round.exchange + EK_UPDATE_HEAD_BYTES;
}

/* Hands over what was learned, to be masked. */
static ek_status mask_update(ek_agent *agent, float loss_last) {
    const ek_agent_learn *learn = &agent->learn;
    const ek_mask_facts facts = {learn->samples, learn->loss_first, loss_last};
    if (facts.loss_first * 0.0f != 0.0f || facts.loss_last * 0.0f != 0.0f) {
        return EK_ERR_NOT_FINITE;
    }
    ek_secure_learned(agent, &facts);
    return EK_OK;
}

/* Stores the trained head, and makes of it the update object, which takes the place of the base. */
static ek_status hold_update(ek_agent *agent, float loss_last) {
    ek_agent_learn *learn = &agent->learn;
    const ek_task *task = &learn->task;
    const uint8_t *image = agent->state.slots[agent->state.active].image;
    ek_learn_round kept = {.run = task->run, .round = task->round};
    ek_update update;
    uint8_t digest[32];
    ek_status status = task->feedback != 0U ? ek_learn_round_begin(&kept, image, &learn->trainer)
                                            : ek_learn_store(image, &learn->trainer);
    if (status != EK_OK) {
        return status;
    }
    ek_head_hash(&learn->trainer, digest);
    status = ek_update_difference(&learn->trainer, base_floats(learn), kept.left_out);
    if (status != EK_OK) {
        return status;
    }
    if (task->phase != 0U) {
        memcpy(agent->head_hash, digest, sizeof digest);
        agent->has_head_hash = true;
        return mask_update(agent, loss_last);
    }
    update.run = task->run;
    update.round = task->round;
    update.samples = learn->samples;
    memcpy(update.base_hash, task->base_hash, 32);
    update.loss_first = learn->loss_first;
    update.loss_last = loss_last;
    update.codec = codec_of(agent);
    update.local = task->local;
    ek_update_write(&update, &learn->trainer, learn->memory.round.exchange);
    if (task->feedback != 0U) {
        status = ek_learn_round_end(&kept, learn->trainer.weights, parameters(learn));
    }
    if (status == EK_OK) {
        memcpy(agent->head_hash, digest, sizeof digest);
        agent->has_head_hash = true;
        learn->update_bytes =
            (uint32_t)ek_update_bytes(&update.codec, update.local, parameters(learn));
    }
    return status;
}

static void finish(ek_agent *agent, float loss_last) {
    const ek_status status = hold_update(agent, loss_last);
    if (status != EK_OK) {
        ek_learn_refuse(agent, status);
    } else if (agent->learn.task.phase == 0U) {
        ek_learn_hold(agent, agent->learn.update_bytes);
    }
}

void ek_learn_hold(ek_agent *agent, size_t n) {
    ek_agent_learn *learn = &agent->learn;
    learn->update_bytes = (uint32_t)n;
    crypto_blake2b(learn->update_digest, 32, learn->memory.round.exchange, n);
    ek_learn_set_phase(agent, EK_LEARN_READY, EK_OK);
    ek_line line;
    ek_line_start(&line, "update ready, round ");
    ek_line_number(&line, learn->task.round);
    ek_agent_log(agent, 1, &line);
}

static void epoch_done(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    const float mean = learn->loss_sum / (float)learn->samples;
    learn->loss_first = learn->epoch == 0U ? mean : learn->loss_first;
    learn->epoch++;
    if (learn->epoch == learn->task.epochs) {
        finish(agent, mean);
        return;
    }
    learn->sample = 0;
    learn->loss_sum = 0.0f;
    ek_status status = ek_port_sample_rewind();
    if (status != EK_OK) {
        ek_learn_refuse(agent, status);
    }
}

static ek_train_rule rule_of(ek_agent_learn *learn) {
    const ek_task *task = &learn->task;
    const ek_train_rule rule = {
        .rate = task->rate,
        .decay = task->decay,
        .mu = task->mu,
        .base = base_floats(learn),
        .local = task->local,
        .first = ek_train_first(&learn->trainer, task->local, learn->sample, learn->samples),
    };
    return rule;
}

static ek_status train_one(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    const ek_train_rule rule = rule_of(learn);
    ek_sample_room room;
    const int8_t *features;
    uint16_t label = 0;
    float loss = 0.0f;
    if (!ek_sample_room_find(agent, &room)) {
        return EK_ERR_ARENA;
    }
    if (learn->has_cache) {
        features = cached_features(learn, learn->sample);
        label = ek_wire_get_u16(learn->cache + 2U * (size_t)learn->sample);
    } else {
        ek_status status = next_features(agent, NULL, &label);
        if (status != EK_OK) {
            return status;
        }
        features = room.features;
    }
    ek_status status = ek_head_train(&learn->trainer, &rule, features, label, room.p, &loss);
    learn->loss_sum = learn->loss_sum + loss;
    return status;
}

static void train_step(ek_agent *agent) {
    ek_agent_learn *learn = &agent->learn;
    const uint32_t most = learn->has_cache ? SAMPLES_PER_STEP : 1U;
    for (uint32_t i = 0; i < most && learn->sample < learn->samples; i++) {
        ek_status status = train_one(agent);
        if (status != EK_OK) {
            ek_learn_refuse(agent, status);
            return;
        }
        learn->sample++;
    }
    if (learn->sample == learn->samples) {
        epoch_done(agent);
    }
}

bool ek_learn_step(ek_agent *agent, uint64_t now_ms) {
    ek_agent_learn *learn = &agent->learn;
    if (is_working(learn->phase) && now_ms >= learn->deadline_ms) {
        ek_learn_refuse(agent, EK_ERR_TIMEOUT);
    }
    if (learn->phase == EK_LEARN_FETCH && agent->pull_owner == EK_PULL_NOBODY) {
        ek_status status =
            needs_input(agent)
                ? ek_secure_pull(agent)
                : ek_agent_pull(agent, EK_PULL_HEAD, learn->task.object, learn->task.bytes, 0);
        if (status != EK_OK) {
            ek_learn_refuse(agent, status);
        }
    } else if (learn->phase == EK_LEARN_FEATURES) {
        features_step(agent);
    } else if (learn->phase == EK_LEARN_TRAIN) {
        train_step(agent);
    } else if (learn->phase == EK_LEARN_SECURE) {
        ek_secure_step(agent);
    }
    if (learn->phase == EK_LEARN_IDLE) {
        return ek_online_step(agent, now_ms);
    }
    return is_working(learn->phase) && learn->phase != EK_LEARN_FETCH;
}
