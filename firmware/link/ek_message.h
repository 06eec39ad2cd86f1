/* Every message that the device sends or receives, as structs; and the release manifest.
 * Source: firmware/link/PROTOCOL.md. Twin: edgekit/link/messages.py */
#ifndef EK_MESSAGE_H
#define EK_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ek_cbor.h"
#include "ek_status.h"

#define EK_DEVICE_ID_MAX 32U
#define EK_CHUNK_HEAD_BYTES 16U
#define EK_CHUNK_BYTES_MAX 4096U
#define EK_LOG_TEXT_MAX 200U
#define EK_MANIFEST_BYTES_MAX 1024U
#define EK_BLOCK_BYTES 4096U
#define EK_TEXT_MAX 4000U
#define EK_OUTPUTS_MAX 1024U

typedef enum ek_update_state {
    EK_UPDATE_IDLE = 0,
    EK_UPDATE_DOWNLOADING = 1,
    EK_UPDATE_VERIFYING = 2,
    EK_UPDATE_INSTALLED = 3,
    EK_UPDATE_REFUSED = 4
} ek_update_state;

typedef enum ek_task_state {
    EK_TASK_IDLE = 0,
    EK_TASK_FETCHING = 1,
    EK_TASK_TRAINING = 2,
    EK_TASK_READY = 3,
    EK_TASK_REFUSED = 4
} ek_task_state;

/* What the device says about its update. image is NULL where there is none. */
typedef struct ek_update_report {
    ek_update_state state;
    const uint8_t *image; /* 32 bytes */
    uint32_t bytes_done;
    ek_status status;
    uint64_t counter;
} ek_update_report;

/* What the device says about its federated task. digest is NULL where there is no update object. */
typedef struct ek_task_report {
    uint64_t run;
    uint32_t round;
    ek_task_state state;
    uint64_t object;
    uint32_t bytes;
    const uint8_t *digest; /* 32 bytes */
    uint32_t samples;
    ek_status status;
    uint32_t phase; /* of secure aggregation; 0 is not said */
} ek_task_report;

typedef struct ek_reported {
    uint32_t boot;
    uint32_t desired_version;
    const char *board;
    const char *firmware;
    const uint8_t *kernel_set;   /* 8 bytes */
    const uint8_t *active_image; /* 32 bytes or NULL */
    uint64_t counter;
    ek_update_report update;
    uint32_t free_ram_bytes;
    uint32_t free_slot_bytes;
    ek_task_report task;
    uint32_t uptime_s;
    const uint8_t *head_hash; /* 32 bytes or NULL */
    const char *sensors;      /* kinds joined by commas; empty is not said */
    uint32_t battery_mv;      /* 0 is not said */
    const char *skills;       /* joined by commas; empty is not said */
} ek_reported;

typedef struct ek_task {
    uint64_t run;
    uint32_t round;
    uint8_t base_hash[32];
    uint64_t object;
    uint32_t bytes;
    uint32_t epochs;
    float rate;
    float decay;
    uint32_t deadline_s;
    uint32_t codec;    /* ek_codec_kind; this and what follows is 0 where nothing is said */
    uint32_t entries;  /* that a top-P codec sends */
    float mu;          /* proximal term of FedProx */
    uint32_t local;    /* parameters at the end that stay on the device */
    uint32_t feedback; /* 1: what the codec leaves out is added the next time */
    uint32_t phase;    /* of secure aggregation, 1 .. 4 */
    bool has_input;    /* the phase needs an object */
    uint8_t input_hash[32];
    uint32_t input_bytes;
} ek_task;

/* How a head goes on learning by itself. */
typedef struct ek_learning {
    uint32_t steps_per_minute; /* at most, 1 .. 60000 */
    uint32_t method;           /* ek_method */
    float rate;
    float momentum;       /* this and what follows is 0 where nothing is said */
    uint32_t standardize; /* 1: the model reads its input by the input's own mean and variance */
    uint32_t warm_up;     /* samples after which these stay as they are; 0: never */
    uint32_t window;      /* samples that they follow; 0: all */
} ek_learning;

typedef struct ek_desired {
    uint32_t version;
    uint64_t time_s; /* of the server */
    bool has_model;
    ek_view manifest;
    const uint8_t *signature; /* 64 bytes */
    bool has_task;
    ek_task task;
    uint32_t heartbeat_s;
    bool has_learning;
    ek_learning learning;
} ek_desired;

typedef struct ek_telemetry {
    uint64_t uptime_ms;
    uint64_t inferences;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t refused;
} ek_telemetry;

typedef struct ek_chunk_request {
    uint64_t object;
    uint32_t offset;
    uint32_t length;
} ek_chunk_request;

/* A text to classify, UTF-8 or not. */
typedef struct ek_text_question {
    uint32_t number;
    ek_view text;
} ek_text_question;

/* What the model says. image is NULL where there is none; outputs are left out if they are more
 * than EK_OUTPUTS_MAX bytes, or the status is not EK_OK. */
typedef struct ek_text_answer {
    uint32_t number;
    ek_status status;
    const uint8_t *image; /* 32 bytes */
    uint32_t label;
    float score;
    uint32_t tokens;
    const uint8_t *outputs;
    size_t n;
} ek_text_answer;

/* total 0 and no bytes: the holder does not know the object. */
typedef struct ek_chunk {
    uint64_t object;
    uint32_t offset;
    uint32_t total;
    const uint8_t *bytes;
    size_t n;
} ek_chunk;

/* A release, as signed. Views point into the manifest's bytes. */
typedef struct ek_manifest {
    ek_view name;
    ek_view version;
    uint64_t counter;
    uint8_t image[32];
    uint32_t image_bytes;
    uint8_t list_digest[32]; /* BLAKE2b-256 of the block list */
    ek_view device_class;
    uint8_t kernel_set[8];
    uint32_t arena_bytes;
    uint64_t expiry_s;
} ek_manifest;

/* Each writer puts the content of its message at out and its length at n; EK_ERR_SPACE if it does
 * not fit. */
ek_status ek_hello_write(const char *id, uint32_t boot, uint8_t *out, size_t capacity, size_t *n);
ek_status ek_ping_write(uint32_t boot, uint8_t *out, size_t capacity, size_t *n);
ek_status ek_claim_request_write(const uint8_t token[8], const uint8_t key[32],
                                 const uint8_t code[16], uint8_t *out, size_t capacity, size_t *n);
ek_status ek_reported_write(const ek_reported *reported, uint8_t *out, size_t capacity, size_t *n);
ek_status ek_telemetry_write(const ek_telemetry *telemetry, uint8_t *out, size_t capacity,
                             size_t *n);
ek_status ek_text_answer_write(const ek_text_answer *answer, uint8_t *out, size_t capacity,
                               size_t *n);
ek_status ek_log_write(uint32_t level, const char *text, uint8_t *out, size_t capacity, size_t *n);
ek_status ek_chunk_request_write(const ek_chunk_request *request, uint8_t *out, size_t capacity,
                                 size_t *n);
ek_status ek_chunk_write(const ek_chunk *chunk, uint8_t *out, size_t capacity, size_t *n);

/* Each reader proves the whole content; what it returns points into bytes. */
ek_status ek_boot_read(const uint8_t *bytes, size_t n, uint32_t *boot); /* WELCOME and PONG */
ek_status ek_claim_response_read(const uint8_t *bytes, size_t n, const uint8_t **key,
                                 const uint8_t **code);
ek_status ek_desired_read(const uint8_t *bytes, size_t n, ek_desired *desired);
ek_status ek_text_question_read(const uint8_t *bytes, size_t n, ek_text_question *question);
ek_status ek_chunk_request_read(const uint8_t *bytes, size_t n, ek_chunk_request *request);
ek_status ek_chunk_read(const uint8_t *bytes, size_t n, ek_chunk *chunk);
ek_status ek_manifest_read(const uint8_t *bytes, size_t n, ek_manifest *manifest);

/* Number of an object: the first 8 bytes of its digest. */
uint64_t ek_object_id(const uint8_t digest[32]);

#endif
