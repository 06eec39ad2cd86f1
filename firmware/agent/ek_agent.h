/* The agent: one device's side of firmware/link/PROTOCOL.md as a state machine that never blocks.
 * ek_agent.c speaks with gateway and server, ek_agent_claim.c becomes known, ek_agent_update.c
 * changes the model, ek_agent_learn.c trains the head for a round, ek_agent_samples.c reads what it
 * learns from, ek_agent_online.c lets it learn by itself, ek_agent_secure.c masks what it learned,
 * ek_agent_report.c says how things are, ek_agent_text.c answers texts. */
#ifndef EK_AGENT_H
#define EK_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../boot/ek_provision.h"
#include "../boot/ek_slot.h"
#include "../boot/ek_state.h"
#include "../learn/ek_exchange.h"
#include "../learn/ek_guard.h"
#include "../learn/ek_moments.h"
#include "../learn/ek_online.h"
#include "../learn/ek_secure.h"
#include "../learn/ek_train.h"
#include "../link/ek_chunk.h"
#include "../link/ek_frame.h"
#include "../link/ek_message.h"
#include "../link/ek_seal.h"
#include "board.h"
#include "ek.h"
#include "ek_line.h"
#include "ek_status.h"

#define EK_HEAD_FLOATS_MAX 2048U
/* A head object is received here, so that its floats lie where those of the update object will. */
#define EK_HEAD_OBJECT_AT (EK_UPDATE_HEAD_BYTES - EK_HEAD_OBJECT_HEAD_BYTES)

typedef enum ek_link_phase {
    EK_LINK_HELLO,  /* no gateway yet */
    EK_LINK_CLAIM,  /* a gateway, but no device key */
    EK_LINK_ONLINE, /* sealed messages flow */
} ek_link_phase;

/* What the one pull of chunks is for. */
typedef enum ek_pull_owner {
    EK_PULL_NOBODY,
    EK_PULL_LIST,
    EK_PULL_IMAGE,
    EK_PULL_HEAD,
} ek_pull_owner;

typedef enum ek_learn_phase {
    EK_LEARN_IDLE,
    EK_LEARN_FETCH,
    EK_LEARN_FEATURES,
    EK_LEARN_TRAIN,
    EK_LEARN_SECURE, /* at the keys, shares and masks of a phase */
    EK_LEARN_READY,
    EK_LEARN_REFUSED,
} ek_learn_phase;

typedef struct ek_agent_link {
    ek_link_phase phase;
    uint64_t next_send_ms; /* of the next HELLO or CLAIM_REQUEST */
    uint32_t wait_ms;      /* until the one after */
    uint64_t next_ping_ms;
    uint64_t heard_ms;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t refused;
} ek_agent_link;

typedef struct ek_agent_report {
    bool due;
    uint64_t again_ms; /* a change is said twice, since a datagram may get lost; 0: no more */
    uint64_t next_ms;
    uint64_t next_telemetry_ms;
    uint32_t heartbeat_ms;
    uint32_t desired_version;
} ek_agent_report;

typedef struct ek_agent_update {
    ek_update_state state;
    ek_status status;
    bool has_image;
    uint8_t image[32];
    uint64_t counter;
    uint8_t list_digest[32];
    uint64_t deadline_ms;
    uint32_t reported_bytes;
    ek_install install;
} ek_agent_update;

/* Of a federated round, or of a head that learns by itself. */
typedef union ek_learn_memory {
    struct {
        float floats[EK_HEAD_FLOATS_MAX];                                 /* weights, then bias */
        uint8_t exchange[EK_UPDATE_HEAD_BYTES + 4U * EK_HEAD_FLOATS_MAX]; /* base, then update */
    } round;
    uint32_t online[2U * EK_HEAD_FLOATS_MAX + EK_UPDATE_HEAD_BYTES / 4U];
} ek_learn_memory;

/* A round of secure aggregation; it ends with the boot. */
typedef struct ek_agent_secure {
    ek_secure member;
    uint32_t phase; /* that was answered last, 0 outside of a round */
    uint32_t peer;  /* next one to work on */
    uint32_t drawn; /* secrets of this boot */
    bool has_input;
    bool has_learned;
} ek_agent_secure;

/* A head that learns by itself, as the server wishes it. */
typedef struct ek_agent_online {
    bool wanted;
    bool open; /* head is in memory */
    ek_learning wish;
    uint64_t next_ms; /* of the next step */
    ek_online head;
    ek_guard guard;
    ek_moments moments;  /* of the model's input, behind the head in memory; size 0: none */
    ek_real input_scale; /* with moments: x = (q - input_zero_point) input_scale */
    int32_t input_zero_point;
} ek_agent_online;

typedef struct ek_agent_learn {
    ek_learn_phase phase;
    ek_status status;
    ek_task task;
    uint64_t deadline_ms;
    ek_head head;
    ek_trainer trainer;
    uint32_t samples;
    uint32_t sample; /* next one */
    uint32_t epoch;
    float loss_sum;
    float loss_first;
    uint32_t update_bytes;
    uint8_t update_digest[32];
    bool has_cache; /* features of all samples, of this image */
    uint8_t cache_image[32];
    uint32_t cache_samples;
    ek_learn_memory memory;
    ek_agent_online online;
    uint8_t cache[EK_FEATURE_CACHE_BYTES]; /* labels u16, then features int8 */
} ek_agent_learn;

/* Everything the agent remembers in RAM. */
typedef struct ek_agent {
    ek_provision provision;
    ek_state state;
    ek_seal seal;
    bool has_image;
    ek_image image;
    bool has_head_hash;
    uint8_t head_hash[32];
    uint64_t inferences;
    ek_agent_link link;
    ek_agent_report report;
    ek_agent_update update;
    ek_agent_learn learn;
    ek_agent_secure secure;
    ek_pull_owner pull_owner;
    ek_pull pull;
    uint8_t in[EK_FRAME_MAX];
    uint8_t out[EK_FRAME_MAX];
} ek_agent;

/* Loads the state, counts the boot, opens model and link. EK_ERR_FLASH: the boot counter could not
 * be kept. */
ek_status ek_agent_start(ek_agent *agent, const ek_provision *provision);

/* Does what is due without blocking. Returns for how many milliseconds nothing is due unless a
 * datagram arrives. */
uint32_t ek_agent_step(ek_agent *agent);

/* Runs the agent for ever; returns only if it cannot start. */
int ek_agent_main(const ek_provision *provision);

/* Between the files of the agent. */

/* Where content of the next message is written, and how much fits. */
uint8_t *ek_agent_content(ek_agent *agent);
size_t ek_agent_content_bytes(void);
/* Seals (if the type is sealed), frames and sends what lies at ek_agent_content. */
ek_status ek_agent_send(ek_agent *agent, ek_frame_type type, size_t content_bytes);
/* Writes a line to the console and, from level 1 on, to the server. */
void ek_agent_log(ek_agent *agent, uint32_t level, const ek_line *line);
void ek_agent_log_status(ek_agent *agent, const char *text, ek_status status);
/* Starts to pull for this owner. */
ek_status ek_agent_pull(ek_agent *agent, ek_pull_owner owner, uint64_t object, uint32_t total,
                        uint32_t start);

ek_status ek_claim_prepare(ek_agent *agent);
ek_status ek_claim_send(ek_agent *agent);
ek_status ek_claim_answer(ek_agent *agent, const uint8_t *content, size_t n);

void ek_update_desired(ek_agent *agent, const ek_desired *desired);
void ek_update_chunk(ek_agent *agent, const uint8_t *bytes, uint32_t n);
void ek_update_step(ek_agent *agent, uint64_t now_ms);

void ek_learn_desired(ek_agent *agent, const ek_desired *desired, uint64_t now_ms);
void ek_learn_chunk(ek_agent *agent, const uint8_t *bytes, uint32_t n);
/* True if there is more to do at once. */
bool ek_learn_step(ek_agent *agent, uint64_t now_ms);
/* After boot and after a switch: which head is active, and its hash. */
void ek_learn_image_changed(ek_agent *agent);

/* Refuses the task; what was learned is as before. */
void ek_learn_refuse(ek_agent *agent, ek_status status);
/* Begins or ends a part of the task. */
void ek_learn_set_phase(ek_agent *agent, ek_learn_phase phase, ek_status status);
/* Holds the n bytes ready that lie at exchange, as what was asked for. */
void ek_learn_hold(ek_agent *agent, size_t n);

/* A phase of secure aggregation begins; its input has come, or another part of it. */
void ek_secure_task(ek_agent *agent);
ek_status ek_secure_pull(ek_agent *agent);
void ek_secure_input(ek_agent *agent);
/* What was learned lies at floats and is to be masked. */
void ek_secure_learned(ek_agent *agent, const ek_mask_facts *facts);
/* Works on one neighbour. */
void ek_secure_step(ek_agent *agent);

/* Where a sample lies while it becomes features: behind the image's part of the arena. */
typedef struct ek_sample_room {
    uint8_t *raw;
    int8_t *input;
    int8_t *features;
    float *p;  /* [classes], scratch of a step */
    size_t at; /* what is free behind them */
} ek_sample_room;

/* False if the arena is too small for the head that is to learn. */
bool ek_sample_room_find(const ek_agent *agent, ek_sample_room *room);

/* The next sample of the board as features of the active image, whatever its label. online: NULL,
 * or whose moments the input is standardized by. features: NULL for behind the image's part of the
 * arena. */
ek_status ek_learn_features(ek_agent *agent, ek_agent_online *online, int8_t *features,
                            uint16_t *label);
/* Where features lie that nobody gave a place; NULL if the arena is too small. */
int8_t *ek_learn_room(const ek_agent *agent);

void ek_online_desired(ek_agent *agent, const ek_desired *desired);
/* Stores the head that learns by itself and leaves the memory. */
void ek_online_close(ek_agent *agent, bool store);
/* At most one step; true if there is more to do at once. */
bool ek_online_step(ek_agent *agent, uint64_t now_ms);

/* Answers a TEXT_QUESTION. */
ek_status ek_agent_answer(ek_agent *agent, const uint8_t *content, size_t n);

void ek_report_step(ek_agent *agent, uint64_t now_ms);

#endif
