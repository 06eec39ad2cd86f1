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

/* What a checkpoint holds. */
static ek_learn_part state_of(const ek_agent_online *online) {
    ek_learn_part part;
    part.words = ek_online_state(&online->head, &part.count);
    return part;
}

/* The head of the image, or what it had learnt when it was stored last. */
static ek_status start(ek_agent *agent) {
    ek_agent_online *online = &agent->learn.online;
    ek_online_plan plan;
    ek_head head;
    ek_status status = agent->has_image ? ek_image_head(&agent->image, &head) : EK_ERR_STATE;
    if (status != EK_OK) {
        return status;
    }
    memset(&plan, 0, sizeof plan);
    plan.features = head.features;
    plan.classes = head.classes;
    plan.most_classes = head.max_classes;
    plan.scale = head.scale;
    plan.zero_point = head.zero_point;
    plan.method = (ek_method)online->wish.method;
    plan.loss = EK_SOFTMAX;
    plan.batch = CWR_BATCH;
    plan.rule.rate = ek_real_of(online->wish.rate);
    plan.rule.clip = EK_REAL(10);
    status = ek_online_start(&online->head, &plan, head.weights, head.bias,
                             agent->learn.memory.online, sizeof agent->learn.memory.online);
    if (status != EK_OK) {
        return status;
    }
    const ek_learn_part part = state_of(online);
    if (ek_learn_load_parts(active_image(agent), &part, 1) == EK_OK &&
        ek_online_take_counts(&online->head) != EK_OK) {
        status = ek_online_start(&online->head, &plan, head.weights, head.bias,
                                 agent->learn.memory.online, sizeof agent->learn.memory.online);
    }
    return status;
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
    ek_online_put_counts(&agent->learn.online.head);
    const ek_learn_part part = state_of(&agent->learn.online);
    return ek_learn_store_parts(active_image(agent), &part, 1);
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
    const bool same = desired->has_learning && online->wish.method == desired->learning.method &&
                      memcmp(&online->wish.rate, &desired->learning.rate, sizeof(float)) == 0;
    if (!same) {
        ek_online_close(agent, true);
    }
    online->wanted = desired->has_learning;
    online->wish = desired->learning;
}

static ek_status next_sample(ek_agent *agent, uint16_t *label) {
    ek_status status = ek_learn_features(agent, NULL, label);
    if (status == EK_ERR_STATE && ek_port_sample_rewind() == EK_OK) {
        status = ek_learn_features(agent, NULL, label); /* again from the first */
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
