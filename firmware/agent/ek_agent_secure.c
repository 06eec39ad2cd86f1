/* A phase of secure aggregation: the task's input comes, neighbour after neighbour is worked on,
 * the answer is held ready like an update. Its objects lie where the update will. Twin:
 * edgekit/agent/secure.py */
#include <string.h>

#include "../link/ek_wire.h"
#include "ek_agent.h"
#include "ek_port.h"
#include "monocypher.h"

_Static_assert(sizeof(ek_agent_secure) <= 2048U, "docs/federated.md says so");

typedef enum phase { KEYS = 1, SHARES, MASKED, UNMASK } phase;

static uint8_t *object_of(ek_agent *agent) {
    return agent->learn.memory.round.exchange;
}

static void give_up(ek_agent *agent, ek_status status) {
    agent->secure.phase = 0;
    ek_learn_refuse(agent, status);
}

static void answered(ek_agent *agent, size_t n) {
    agent->secure.phase = agent->learn.task.phase;
    ek_learn_hold(agent, n);
}

/* 32 bytes that are never used again: of the board's generator, the host's, and counters. */
static void draw(ek_agent *agent, uint8_t root[32]) {
    const ek_task *task = &agent->learn.task;
    uint8_t random[32];
    uint8_t said[20];
    crypto_blake2b_ctx hash;
    ek_port_random(random, sizeof random);
    ek_wire_put_u32(said, agent->state.boot);
    ek_wire_put_u32(said + 4, ++agent->secure.drawn);
    ek_wire_put_u64(said + 8, task->run);
    ek_wire_put_u32(said + 16, task->round);
    crypto_blake2b_keyed_init(&hash, 32, agent->provision.entropy, 32);
    crypto_blake2b_update(&hash, (const uint8_t *)"ek-secure-root", 14);
    crypto_blake2b_update(&hash, random, sizeof random);
    crypto_blake2b_update(&hash, said, sizeof said);
    crypto_blake2b_final(&hash, root);
    crypto_wipe(random, sizeof random);
}

static void begin(ek_agent *agent) {
    ek_agent_secure *secure = &agent->secure;
    const ek_mask_place place = {agent->learn.task.run, agent->learn.task.round};
    uint8_t root[32];
    draw(agent, root);
    ek_secure_begin(&secure->member, &place, root, object_of(agent));
    crypto_wipe(root, sizeof root);
    answered(agent, EK_SECURE_KEYS_BYTES);
}

void ek_secure_task(ek_agent *agent) {
    ek_agent_secure *secure = &agent->secure;
    const ek_task *task = &agent->learn.task;
    const ek_mask_place *place = &secure->member.place;
    if (task->phase == KEYS) {
        begin(agent);
        return;
    }
    const bool follows = secure->phase + 1U == task->phase && place->run == task->run &&
                         place->round == task->round && task->has_input;
    if (!follows || task->codec != 0U || task->local != 0U || task->feedback != 0U) {
        give_up(agent, EK_ERR_STATE);
        return;
    }
    if (task->input_bytes == 0U || task->input_bytes > sizeof agent->learn.memory.round.exchange) {
        give_up(agent, EK_ERR_SPACE);
        return;
    }
    secure->has_input = false;
    secure->has_learned = false;
    secure->peer = 0;
    ek_learn_set_phase(agent, EK_LEARN_FETCH, EK_OK);
}

ek_status ek_secure_pull(ek_agent *agent) {
    const ek_task *task = &agent->learn.task;
    return ek_agent_pull(agent, EK_PULL_HEAD, ek_object_id(task->input_hash), task->input_bytes, 0);
}

void ek_secure_input(ek_agent *agent) {
    ek_agent_secure *secure = &agent->secure;
    const ek_task *task = &agent->learn.task;
    uint8_t *object = object_of(agent);
    uint8_t digest[32];
    size_t n = task->input_bytes;
    ek_status status = EK_ERR_HASH;
    crypto_blake2b(digest, sizeof digest, object, n);
    if (crypto_verify32(digest, task->input_hash) == 0) {
        status = task->phase == SHARES ? ek_secure_roster(&secure->member, object, n)
                 : task->phase == MASKED
                     ? ek_secure_inbox(&secure->member, object, n)
                     : ek_secure_reveal(&secure->member, object,
                                        sizeof agent->learn.memory.round.exchange, &n);
    }
    if (status != EK_OK) {
        give_up(agent, status);
        return;
    }
    secure->has_input = true;
    if (task->phase == UNMASK) {
        answered(agent, n);
    } else {
        ek_learn_set_phase(agent, EK_LEARN_SECURE, EK_OK);
    }
}

void ek_secure_learned(ek_agent *agent, const ek_mask_facts *facts) {
    ek_agent_learn *learn = &agent->learn;
    const uint32_t n = learn->trainer.classes * (learn->trainer.features + 1U);
    learn->update_bytes = (uint32_t)ek_secure_masked(
        &agent->secure.member, facts, learn->memory.round.floats, n, object_of(agent));
    agent->secure.has_learned = true;
    agent->secure.peer = 0;
    ek_learn_set_phase(agent, EK_LEARN_SECURE, EK_OK);
}

/* All neighbours are done with. */
static void end_part(ek_agent *agent) {
    ek_agent_secure *secure = &agent->secure;
    if (agent->learn.task.phase == SHARES) {
        answered(agent, ek_secure_shares_end(&secure->member, object_of(agent)));
    } else if (secure->has_learned) {
        answered(agent, agent->learn.update_bytes);
    } else {
        ek_learn_set_phase(agent, EK_LEARN_FETCH, EK_OK); /* of the head */
    }
}

void ek_secure_step(ek_agent *agent) {
    ek_agent_secure *secure = &agent->secure;
    uint8_t *object = object_of(agent);
    ek_status status;
    if (secure->peer == secure->member.count) {
        end_part(agent);
        return;
    }
    if (agent->learn.task.phase == SHARES) {
        status = ek_secure_share(&secure->member, secure->peer, object);
    } else if (secure->has_learned) {
        status = ek_secure_mask(&secure->member, secure->peer, object, agent->learn.update_bytes);
    } else {
        status = ek_secure_open(&secure->member, secure->peer, object);
    }
    secure->peer++;
    if (status != EK_OK) {
        give_up(agent, status);
    }
}
