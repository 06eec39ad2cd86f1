/* A head that learns by itself from the board's samples, as fast as the server allows. */
#include <string.h>

#include "../learn/ek_learn.h"
#include "ek_agent.h"
#include "ek_port.h"

#define MINUTE_MS 60000U
#define CWR_BATCH 16U
#define STORE_EACH 1000U

static void say(ek_agent *agent, const char *text) {
    ek_line line;
    ek_line_start(&line, text);
    ek_line_number(&line, agent->learn.online.head.steps);
    ek_agent_log(agent, 1, &line);
}

static const uint8_t *active_image(const ek_agent *agent) {
    return agent->state.slots[agent->state.active].image;
}

/* The number of vectors that the moments have seen lies behind them. */
static uint32_t *seen_of(const ek_moments *moments) {
    return (uint32_t *)(void *)(moments->variance + moments->size);
}

/* What a checkpoint holds: the head, and mean, variance and number of its inputs. */
static size_t parts_of(const ek_agent_online *online, ek_learn_part parts[2]) {
    const ek_moments *moments = &online->moments;
    parts[0].words = ek_online_state(&online->head, &parts[0].count);
    parts[1].words = moments->mean;
    parts[1].count = 2U * (size_t)moments->size + 1U;
    return moments->size > 0U ? 2U : 1U;
}

static ek_online_plan plan_of(const ek_learning *wish, const ek_head *head) {
    ek_online_plan plan;
    memset(&plan, 0, sizeof plan);
    plan.features = head->features;
    plan.classes = head->classes;
    plan.most_classes = head->max_classes;
    plan.scale = head->scale;
    plan.zero_point = head->zero_point;
    plan.method = (ek_method)wish->method;
    plan.loss = EK_SOFTMAX;
    plan.batch = CWR_BATCH;
    plan.rule.rate = ek_real_of(wish->rate);
    plan.rule.momentum = ek_real_of(wish->momentum);
    plan.rule.clip = EK_REAL(10);
    return plan;
}

/* Moments of 0 behind the head, if they are wished. */
static ek_status start_moments(ek_agent *agent, size_t head_bytes) {
    ek_agent_online *online = &agent->learn.online;
    ek_moments *moments = &online->moments;
    const size_t room = (sizeof agent->learn.memory.online - head_bytes) / sizeof(ek_real);
    const size_t size = ek_image_input_bytes(&agent->image);
    float scale = 0.0f;
    memset(moments, 0, sizeof *moments);
    if (online->wish.standardize == 0U) {
        return EK_OK;
    }
    ek_status status = ek_image_input_scale(&agent->image, &scale, &online->input_zero_point);
    if (status != EK_OK || size > room || 2U * size + 1U > room) {
        return status == EK_OK ? EK_ERR_SPACE : status;
    }
    moments->mean = (ek_real *)(void *)((uint8_t *)agent->learn.memory.online + head_bytes);
    moments->variance = moments->mean + size;
    moments->size = (uint32_t)size;
    moments->warm_up = online->wish.warm_up;
    moments->window = online->wish.window > 0U ? ek_real_quotient(1, online->wish.window) : 0;
    memset(moments->mean, 0, (2U * size + 1U) * sizeof(ek_real));
    online->input_scale = ek_real_of(scale);
    return EK_OK;
}

/* A head without what it learnt by itself: that of the last federated round, else of the image. */
static ek_status begin_anew(ek_agent *agent, const ek_head *head) {
    ek_agent_online *online = &agent->learn.online;
    const ek_online_plan plan = plan_of(&online->wish, head);
    const uint8_t *trained = ek_learn_head(active_image(agent), head->classes, head->features);
    const uint8_t *weights = trained == NULL ? head->weights : trained;
    const uint8_t *bias =
        trained == NULL ? head->bias : trained + 4U * (size_t)head->classes * head->features;
    const ek_status status =
        ek_online_start(&online->head, &plan, weights, bias, agent->learn.memory.online,
                        sizeof agent->learn.memory.online);
    return status == EK_OK ? start_moments(agent, ek_online_bytes(&plan)) : status;
}

/* What it had learnt when it was stored last, else a head without. */
static ek_status start(ek_agent *agent) {
    ek_agent_online *online = &agent->learn.online;
    ek_learn_part parts[2];
    ek_head head;
    ek_status status = agent->has_image ? ek_image_head(&agent->image, &head) : EK_ERR_STATE;
    if (status == EK_OK) {
        status = begin_anew(agent, &head);
    }
    if (status != EK_OK ||
        ek_learn_load_parts(active_image(agent), parts, parts_of(online, parts)) != EK_OK) {
        return status;
    }
    if (online->moments.size > 0U) {
        online->moments.count = *seen_of(&online->moments);
    }
    return ek_online_take_counts(&online->head) == EK_OK ? EK_OK : begin_anew(agent, &head);
}

static void watch(ek_guard *guard) {
    memset(guard, 0, sizeof *guard);
    guard->smoothing = EK_REAL(0.015625);
    guard->factor = EK_REAL(2);
    guard->margin = EK_REAL(0.5);
    guard->warm_up = 200;
    guard->store_each = STORE_EACH;
}

static void give_up(ek_agent *agent, ek_status status) {
    agent->learn.online.wanted = false;
    agent->learn.online.open = false;
    ek_agent_log_status(agent, "learning refused", status);
}

static void open_head(ek_agent *agent, uint64_t now_ms) {
    ek_agent_online *online = &agent->learn.online;
    ek_status status = ek_port_sample_count() == 0U ? EK_ERR_STATE : start(agent);
    if (status == EK_OK) {
        status = ek_learn_room(agent) == NULL ? EK_ERR_ARENA : ek_port_sample_rewind();
    }
    if (status != EK_OK) {
        give_up(agent, status);
        return;
    }
    watch(&online->guard);
    online->open = true;
    online->next_ms = now_ms;
    say(agent, "learning on, steps ");
}

static ek_status store(ek_agent *agent) {
    ek_agent_online *online = &agent->learn.online;
    ek_learn_part parts[2];
    ek_online_put_counts(&online->head);
    if (online->moments.size > 0U) {
        *seen_of(&online->moments) = online->moments.count;
    }
    return ek_learn_store_parts(active_image(agent), parts, parts_of(online, parts));
}

void ek_online_close(ek_agent *agent, bool keep) {
    if (!agent->learn.online.open) {
        return;
    }
    if (keep && store(agent) != EK_OK) {
        ek_agent_log_status(agent, "head not stored", EK_ERR_FLASH);
    }
    agent->learn.online.open = false;
    say(agent, "learning off, steps ");
}

void ek_online_desired(ek_agent *agent, const ek_desired *desired) {
    ek_agent_online *online = &agent->learn.online;
    ek_learning as_fast = desired->learning;
    as_fast.steps_per_minute = online->wish.steps_per_minute;
    if (!desired->has_learning || memcmp(&online->wish, &as_fast, sizeof as_fast) != 0) {
        ek_online_close(agent, true);
    }
    online->wanted = desired->has_learning;
    online->wish = desired->learning;
}

static ek_status next_sample(ek_agent *agent, uint16_t *label) {
    ek_agent_online *online = &agent->learn.online;
    ek_status status = ek_learn_features(agent, online, NULL, label);
    if (status == EK_ERR_STATE && ek_port_sample_rewind() == EK_OK) {
        status = ek_learn_features(agent, online, NULL, label); /* again from the first */
    }
    return status;
}

static void judge(ek_agent *agent, ek_real loss) {
    ek_agent_online *online = &agent->learn.online;
    switch (ek_guard_see(&online->guard, loss)) {
    case EK_STORE:
        if (store(agent) == EK_OK) {
            say(agent, "head stored, steps ");
        } else {
            ek_agent_log_status(agent, "head not stored", EK_ERR_FLASH);
        }
        break;
    case EK_GO_BACK:
        say(agent, "head goes back, steps ");
        if (start(agent) != EK_OK) {
            give_up(agent, EK_ERR_STATE);
        }
        break;
    default:
        break;
    }
}

bool ek_online_step(ek_agent *agent, uint64_t now_ms) {
    ek_agent_online *online = &agent->learn.online;
    if (!online->wanted) {
        return false;
    }
    if (!online->open) {
        open_head(agent, now_ms);
        return online->open;
    }
    const uint32_t gap_ms = MINUTE_MS / online->wish.steps_per_minute;
    if (now_ms < online->next_ms) {
        return gap_ms <= 1U;
    }
    online->next_ms = now_ms + gap_ms;
    uint16_t label = 0;
    ek_real loss = 0;
    ek_status status = next_sample(agent, &label);
    if (status != EK_OK) {
        give_up(agent, status);
        return false;
    }
    /* A label beyond the rows or a step that is not finite changes nothing. */
    if (ek_online_learn(&online->head, ek_learn_room(agent), label, &loss) == EK_OK) {
        judge(agent, loss);
    }
    return gap_ms <= 1U;
}
