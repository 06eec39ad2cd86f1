#include "ek_agent.h"

#include <string.h>

#include "ek_port.h"

#define HELLO_FIRST_MS 1000U
#define BACKOFF_MAX_MS 10000U
#define PING_MS 20000U
#define SILENCE_MS 60000U
#define FRAMES_PER_STEP 16U
#define IDLE_MS 200U
#define HEARTBEAT_MS 15000U
#define HEARTBEAT_MAX_S 3600U

uint8_t *ek_agent_content(ek_agent *agent) {
    return agent->out + EK_FRAME_HEADER_BYTES;
}

size_t ek_agent_content_bytes(void) {
    size_t mtu = ek_port_link_mtu();
    size_t most = mtu < EK_FRAME_MAX ? mtu : EK_FRAME_MAX;
    return most - EK_FRAME_HEADER_BYTES - 4U - EK_SEAL_BYTES;
}

ek_status ek_agent_send(ek_agent *agent, ek_frame_type type, size_t content_bytes) {
    size_t body_bytes = content_bytes;
    size_t frame_bytes = 0;
    ek_status status = EK_OK;
    if (type >= EK_FRAME_REPORTED) {
        status = agent->state.claimed
                     ? ek_seal_close(&agent->seal, (uint8_t)type, ek_agent_content(agent),
                                     content_bytes, EK_FRAME_BODY_MAX, &body_bytes)
                     : EK_ERR_STATE;
    }
    if (status == EK_OK) {
        status =
            ek_frame_close(agent->out, sizeof agent->out, (uint8_t)type, body_bytes, &frame_bytes);
    }
    if (status == EK_OK) {
        status = ek_port_link_send(agent->out, frame_bytes);
    }
    if (status == EK_OK) {
        agent->link.bytes_out += frame_bytes;
    }
    return status;
}

void ek_agent_log(ek_agent *agent, uint32_t level, const ek_line *line) {
    size_t n = 0;
    ek_port_log(line->text);
    if (level > 0U && agent->link.phase == EK_LINK_ONLINE &&
        ek_log_write(level, line->text, ek_agent_content(agent), ek_agent_content_bytes(), &n) ==
            EK_OK) {
        (void)ek_agent_send(agent, EK_FRAME_LOG, n); /* a lost line is lost */
    }
}

void ek_agent_log_status(ek_agent *agent, const char *text, ek_status status) {
    ek_line line;
    ek_line_start(&line, text);
    ek_line_text(&line, ": ");
    ek_line_text(&line, ek_status_text(status));
    ek_agent_log(agent, status == EK_OK ? 1U : 2U, &line);
}

ek_status ek_agent_pull(ek_agent *agent, ek_pull_owner owner, uint64_t object, uint32_t total,
                        uint32_t start) {
    agent->pull_owner = owner;
    ek_status status = ek_pull_start(&agent->pull, object, total, start,
                                     ek_agent_content_bytes() - EK_CHUNK_HEAD_BYTES);
    if (status != EK_OK) {
        agent->pull_owner = EK_PULL_NOBODY;
    }
    return status;
}

ek_status ek_agent_start(ek_agent *agent, const ek_provision *provision) {
    ek_line line;
    memset(agent, 0, sizeof *agent);
    agent->provision = *provision;
    agent->report.heartbeat_ms = HEARTBEAT_MS;
    agent->link.wait_ms = HELLO_FIRST_MS;
    ek_state_load(&agent->state);
    agent->state.boot++;
    ek_status status = ek_state_save(&agent->state);
    if (status == EK_OK) {
        status = ek_claim_prepare(agent);
    }
    if (status != EK_OK) {
        return status;
    }
    agent->seal.boot = agent->state.boot;
    memcpy(agent->seal.key, agent->state.device_key, 32);
    ek_line_start(&line, "agent ");
    ek_line_text(&line, agent->provision.id);
    ek_line_text(&line, " boot ");
    ek_line_number(&line, agent->state.boot);
    ek_agent_log(agent, 0, &line);
    status = ek_slot_boot(&agent->state, ek_port_arena(), &agent->image);
    agent->has_image = status == EK_OK;
    ek_agent_log_status(agent, "model", status);
    ek_learn_image_changed(agent);
    return ek_port_link_open(agent->provision.gateway, agent->provision.gateway_port);
}

static void go_online(ek_agent *agent, uint64_t now_ms) {
    agent->link.phase = EK_LINK_ONLINE;
    agent->link.next_ping_ms = now_ms + PING_MS;
    agent->report.due = true;
}

static void go_hello(ek_agent *agent, uint64_t now_ms) {
    agent->link.phase = EK_LINK_HELLO;
    agent->link.next_send_ms = now_ms;
    agent->link.wait_ms = HELLO_FIRST_MS;
    ek_port_log("gateway is silent");
}

static ek_status take_welcome(ek_agent *agent, const ek_frame *frame, uint64_t now_ms) {
    uint32_t boot = 0;
    ek_status status = ek_boot_read(frame->body, frame->body_bytes, &boot);
    if (status != EK_OK) {
        return status;
    }
    if (boot != agent->state.boot) {
        return EK_ERR_STATE;
    }
    agent->link.heard_ms = now_ms;
    if (frame->type == EK_FRAME_WELCOME && agent->link.phase == EK_LINK_HELLO) {
        ek_port_log("gateway answers");
        if (agent->state.claimed) {
            go_online(agent, now_ms);
        } else {
            agent->link.phase = EK_LINK_CLAIM;
            agent->link.next_send_ms = now_ms;
            agent->link.wait_ms = HELLO_FIRST_MS;
        }
    }
    return EK_OK;
}

static ek_status take_claim(ek_agent *agent, const ek_frame *frame, uint64_t now_ms) {
    if (agent->state.claimed) {
        return EK_OK; /* the answer to a repeated request */
    }
    ek_status status = ek_claim_answer(agent, frame->body, frame->body_bytes);
    if (status == EK_OK) {
        memcpy(agent->seal.key, agent->state.device_key, 32);
        go_online(agent, now_ms);
        ek_agent_log_status(agent, "claimed", EK_OK);
    }
    return status;
}

static ek_status take_desired(ek_agent *agent, const uint8_t *content, size_t n, uint64_t now_ms) {
    ek_desired desired;
    ek_status status = ek_desired_read(content, n, &desired);
    if (status != EK_OK) {
        return status;
    }
    if (desired.version < agent->report.desired_version) {
        return EK_ERR_REPLAY;
    }
    agent->report.desired_version = desired.version;
    agent->report.heartbeat_ms =
        (desired.heartbeat_s < HEARTBEAT_MAX_S ? desired.heartbeat_s : HEARTBEAT_MAX_S) * 1000U;
    agent->report.due = true;
    ek_update_desired(agent, &desired);
    ek_online_desired(agent, &desired);
    ek_learn_desired(agent, &desired, now_ms);
    return EK_OK;
}

static ek_status take_chunk_request(ek_agent *agent, const uint8_t *content, size_t n) {
    ek_chunk_request request;
    ek_chunk chunk;
    ek_status status = ek_chunk_request_read(content, n, &request);
    if (status != EK_OK) {
        return status;
    }
    const ek_agent_learn *learn = &agent->learn;
    const bool ready = learn->phase == EK_LEARN_READY;
    ek_chunk_serve(&request, ek_object_id(learn->update_digest),
                   ready ? learn->memory.round.exchange : NULL, learn->update_bytes,
                   ek_agent_content_bytes() - EK_CHUNK_HEAD_BYTES, &chunk);
    status = ek_chunk_write(&chunk, ek_agent_content(agent), ek_agent_content_bytes(), &n);
    return status == EK_OK ? ek_agent_send(agent, EK_FRAME_CHUNK, n) : status;
}

static ek_status take_chunk(ek_agent *agent, const uint8_t *content, size_t n) {
    ek_chunk chunk;
    const uint8_t *bytes = NULL;
    uint32_t length = 0;
    ek_status status = ek_chunk_read(content, n, &chunk);
    if (status != EK_OK || agent->pull_owner == EK_PULL_NOBODY) {
        return status;
    }
    status = ek_pull_accept(&agent->pull, &chunk);
    const ek_pull_owner owner = agent->pull_owner;
    while (agent->pull_owner == owner && ek_pull_block(&agent->pull, &bytes, &length)) {
        if (owner == EK_PULL_HEAD) {
            ek_learn_chunk(agent, bytes, length);
        } else {
            ek_update_chunk(agent, bytes, length);
        }
    }
    return status;
}

static ek_status take_sealed(ek_agent *agent, const ek_frame *frame, uint64_t now_ms) {
    size_t n = 0;
    if (!agent->state.claimed) {
        return EK_ERR_STATE;
    }
    ek_status status = ek_seal_open(&agent->seal, frame->type, frame->body, frame->body_bytes, &n);
    if (status != EK_OK) {
        return status;
    }
    agent->link.heard_ms = now_ms;
    switch (frame->type) {
    case EK_FRAME_DESIRED:
        return take_desired(agent, frame->body, n, now_ms);
    case EK_FRAME_CHUNK_REQUEST:
        return take_chunk_request(agent, frame->body, n);
    case EK_FRAME_CHUNK:
        return take_chunk(agent, frame->body, n);
    case EK_FRAME_TEXT_QUESTION:
        return ek_agent_answer(agent, frame->body, n);
    default:
        return EK_ERR_STATE;
    }
}

static ek_status take_frame(ek_agent *agent, size_t n, uint64_t now_ms) {
    ek_frame frame;
    ek_status status = ek_frame_open(agent->in, n, &frame);
    if (status != EK_OK) {
        return status;
    }
    switch (frame.type) {
    case EK_FRAME_WELCOME:
    case EK_FRAME_PONG:
        return take_welcome(agent, &frame, now_ms);
    case EK_FRAME_CLAIM_RESPONSE:
        return take_claim(agent, &frame, now_ms);
    default:
        return take_sealed(agent, &frame, now_ms);
    }
}

/* Milliseconds until the next HELLO or CLAIM_REQUEST, which backs off. */
static void back_off(ek_agent *agent, uint64_t now_ms) {
    agent->link.next_send_ms = now_ms + agent->link.wait_ms;
    agent->link.wait_ms *= 2U;
    if (agent->link.wait_ms > BACKOFF_MAX_MS) {
        agent->link.wait_ms = BACKOFF_MAX_MS;
    }
}

static void link_step(ek_agent *agent, uint64_t now_ms) {
    ek_agent_link *link = &agent->link;
    size_t n = 0;
    if (link->phase == EK_LINK_HELLO) {
        if (now_ms >= link->next_send_ms) {
            back_off(agent, now_ms);
            if (ek_hello_write(agent->provision.id, agent->state.boot, ek_agent_content(agent),
                               ek_agent_content_bytes(), &n) == EK_OK) {
                (void)ek_agent_send(agent, EK_FRAME_HELLO, n); /* it is sent again */
            }
        }
        return;
    }
    if (now_ms - link->heard_ms >= SILENCE_MS) {
        go_hello(agent, now_ms);
        return;
    }
    if (now_ms >= link->next_ping_ms) {
        link->next_ping_ms = now_ms + PING_MS;
        if (ek_ping_write(agent->state.boot, ek_agent_content(agent), ek_agent_content_bytes(),
                          &n) == EK_OK) {
            (void)ek_agent_send(agent, EK_FRAME_PING, n);
        }
    }
    if (link->phase == EK_LINK_CLAIM && now_ms >= link->next_send_ms) {
        back_off(agent, now_ms);
        (void)ek_claim_send(agent);
    }
}

static void pull_step(ek_agent *agent, uint64_t now_ms) {
    ek_chunk_request request;
    size_t n = 0;
    while (agent->pull_owner != EK_PULL_NOBODY &&
           ek_pull_next_request(&agent->pull, now_ms, &request)) {
        if (ek_chunk_request_write(&request, ek_agent_content(agent), ek_agent_content_bytes(),
                                   &n) == EK_OK) {
            (void)ek_agent_send(agent, EK_FRAME_CHUNK_REQUEST, n); /* asked again in time */
        }
    }
}

uint32_t ek_agent_step(ek_agent *agent) {
    const uint64_t now_ms = ek_port_now_ms();
    for (uint32_t i = 0; i < FRAMES_PER_STEP; i++) {
        size_t n = ek_port_link_receive(agent->in, sizeof agent->in);
        if (n == 0U) {
            break;
        }
        agent->link.bytes_in += n;
        if (take_frame(agent, n, now_ms) != EK_OK) {
            agent->link.refused++;
        }
    }
    link_step(agent, now_ms);
    const bool busy = ek_learn_step(agent, now_ms);
    ek_update_step(agent, now_ms);
    if (agent->link.phase == EK_LINK_ONLINE) {
        pull_step(agent, now_ms);
        ek_report_step(agent, now_ms);
    }
    return busy ? 0U : IDLE_MS;
}
