/* Runs the C side of every twin: reads records {u8 operation, u32 length, bytes} from standard
 * input and answers each with {u8 status as -n, u32 length, bytes}. tests/firmware/conftest.py
 * speaks with it. */
#include <stdio.h>
#include <stdlib.h>

#include "boot/ek_provision.h"
#include "crypto/ek_ed25519.h"
#include "crypto/ek_sha512.h"
#include "learn/ek_exchange.h"
#include "learn/ek_exp.h"
#include "learn/ek_secure.h"
#include "learn/ek_train.h"
#include "link/ek_chunk.h"
#include "link/ek_frame.h"
#include "link/ek_message.h"
#include "link/ek_seal.h"
#include "link/ek_wire.h"

#define BYTES_MAX 262144U

static uint8_t out[BYTES_MAX];
static size_t out_bytes;

static void put(const void *bytes, size_t n) {
    if (n > 0U) {
        memcpy(out + out_bytes, bytes, n);
    }
    out_bytes += n;
}

static void put_u32(uint32_t value) {
    ek_wire_put_u32(out + out_bytes, value);
    out_bytes += 4U;
}

static void put_u64(uint64_t value) {
    ek_wire_put_u64(out + out_bytes, value);
    out_bytes += 8U;
}

static void put_view(ek_view view) {
    put_u32((uint32_t)view.n);
    put(view.bytes, view.n);
}

static ek_status frame_open(const uint8_t *in, size_t n) {
    ek_frame frame;
    ek_status status = ek_frame_open(in, n, &frame);
    if (status == EK_OK) {
        put(&frame.type, 1);
        put(frame.body, frame.body_bytes);
    }
    return status;
}

/* key 32 | boot u32 | low half of the last counter u32 | type u8 | content or body */
static ek_status seal(const uint8_t *in, size_t n, int close) {
    ek_seal seal_state;
    size_t length = 0;
    if (n < 41U) {
        return EK_ERR_ARGUMENT;
    }
    memcpy(seal_state.key, in, 32);
    seal_state.boot = ek_wire_get_u32(in + 32);
    seal_state.sent = ek_wire_get_u32(in + 36);
    seal_state.heard = ek_wire_get_u32(in + 36);
    ek_status status;
    if (close != 0) {
        put(in + 41, n - 41U);
        status = ek_seal_close(&seal_state, in[40], out, n - 41U, sizeof out, &length);
        out_bytes = length;
    } else {
        status = ek_seal_open(&seal_state, in[40], in + 41, n - 41U, &length);
        if (status == EK_OK) {
            put(in + 41, length);
        }
    }
    return status;
}

/* boot, desired version u32 | kernel set 8 | has image u8, image 32 | counter u64 | update: state
 * u8, has image u8, image 32, done u32, status u8, counter u64 | free u32 u32 | task: run u64,
 * round u32, state u8, object u64, bytes u32, has digest u8, digest 32, samples u32, status u8 |
 * uptime u32 | has hash u8, hash 32 | board, firmware, sensors: u8 length, text | battery u32 */
static ek_status reported(const uint8_t *in, size_t n) {
    static char board[256];
    static char firmware[256];
    static char sensors[256];
    static char skills[256];
    ek_reported r;
    if (n < 236U) {
        return EK_ERR_ARGUMENT;
    }
    r.boot = ek_wire_get_u32(in);
    r.desired_version = ek_wire_get_u32(in + 4);
    r.kernel_set = in + 8;
    r.active_image = in[16] != 0U ? in + 17 : NULL;
    r.counter = ek_wire_get_u64(in + 49);
    r.update.state = (ek_update_state)in[57];
    r.update.image = in[58] != 0U ? in + 59 : NULL;
    r.update.bytes_done = ek_wire_get_u32(in + 91);
    r.update.status = (ek_status)(-(int)in[95]);
    r.update.counter = ek_wire_get_u64(in + 96);
    r.free_ram_bytes = ek_wire_get_u32(in + 104);
    r.free_slot_bytes = ek_wire_get_u32(in + 108);
    r.task.run = ek_wire_get_u64(in + 112);
    r.task.round = ek_wire_get_u32(in + 120);
    r.task.state = (ek_task_state)in[124];
    r.task.object = ek_wire_get_u64(in + 125);
    r.task.bytes = ek_wire_get_u32(in + 133);
    r.task.digest = in[137] != 0U ? in + 138 : NULL;
    r.task.samples = ek_wire_get_u32(in + 170);
    r.task.status = (ek_status)(-(int)in[174]);
    r.uptime_s = ek_wire_get_u32(in + 175);
    r.head_hash = in[179] != 0U ? in + 180 : NULL;
    const uint8_t *text = in + 212;
    memcpy(board, text + 1, text[0]);
    board[text[0]] = '\0';
    text += 1U + text[0];
    memcpy(firmware, text + 1, text[0]);
    firmware[text[0]] = '\0';
    text += 1U + text[0];
    memcpy(sensors, text + 1, text[0]);
    sensors[text[0]] = '\0';
    text += 1U + text[0];
    r.sensors = sensors;
    r.battery_mv = ek_wire_get_u32(text);
    r.task.phase = ek_wire_get_u32(text + 4);
    memcpy(skills, text + 9, text[8]);
    skills[text[8]] = '\0';
    r.skills = skills;
    r.board = board;
    r.firmware = firmware;
    return ek_reported_write(&r, out, sizeof out, &out_bytes);
}

static ek_status desired(const uint8_t *in, size_t n) {
    ek_desired d;
    ek_status status = ek_desired_read(in, n, &d);
    if (status != EK_OK) {
        return status;
    }
    put_u32(d.version);
    put_u64(d.time_s);
    put_u32(d.heartbeat_s);
    put_u32(d.has_model);
    if (d.has_model) {
        put_view(d.manifest);
        put(d.signature, 64);
    }
    put_u32(d.has_task);
    if (d.has_task) {
        put_u64(d.task.run);
        put_u32(d.task.round);
        put(d.task.base_hash, 32);
        put_u64(d.task.object);
        put_u32(d.task.bytes);
        put_u32(d.task.epochs);
        put_u32(ek_wire_float_bits(d.task.rate));
        put_u32(ek_wire_float_bits(d.task.decay));
        put_u32(d.task.deadline_s);
        put_u32(d.task.codec);
        put_u32(d.task.entries);
        put_u32(ek_wire_float_bits(d.task.mu));
        put_u32(d.task.local);
        put_u32(d.task.feedback);
        put_u32(d.task.phase);
        put_u32(d.task.has_input);
        put(d.task.input_hash, 32);
        put_u32(d.task.input_bytes);
    }
    put_u32(d.has_learning);
    if (d.has_learning) {
        put_u32(d.learning.steps_per_minute);
        put_u32(d.learning.method);
        put_u32(ek_wire_float_bits(d.learning.rate));
        put_u32(ek_wire_float_bits(d.learning.momentum));
        put_u32(d.learning.standardize);
        put_u32(d.learning.warm_up);
        put_u32(d.learning.window);
    }
    return EK_OK;
}

static ek_status manifest(const uint8_t *in, size_t n) {
    ek_manifest m;
    ek_status status = ek_manifest_read(in, n, &m);
    if (status == EK_OK) {
        put_view(m.name);
        put_view(m.version);
        put_u64(m.counter);
        put(m.image, 32);
        put_u32(m.image_bytes);
        put(m.list_digest, 32);
        put_view(m.device_class);
        put(m.kernel_set, 8);
        put_u32(m.arena_bytes);
        put_u64(m.expiry_s);
    }
    return status;
}

static ek_status chunk_read(const uint8_t *in, size_t n) {
    ek_chunk chunk;
    ek_status status = ek_chunk_read(in, n, &chunk);
    if (status == EK_OK) {
        put_u64(chunk.object);
        put_u32(chunk.offset);
        put_u32(chunk.total);
        put(chunk.bytes, chunk.n);
    }
    return status;
}

static uint32_t random_next(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

#define WAITING 64U

/* An object through a link that loses, repeats and reorders. seed u32 | total u32 | start u32 |
 * chunk bytes u32 | loss in percent u32. Answers what arrived, its bytes being those of the object.
 */
/* number, text */
static ek_status read_question(const uint8_t *in, size_t n) {
    ek_text_question question;
    const ek_status status = ek_text_question_read(in, n, &question);
    if (status == EK_OK) {
        ek_wire_put_u32(out, question.number);
        memcpy(out + 4, question.text.bytes, question.text.n);
        out_bytes = 4U + question.text.n;
    }
    return status;
}

/* number, status as -n, label, score, tokens, 0 or 1, image, outputs */
static ek_status write_answer(const uint8_t *in, size_t n) {
    const ek_text_answer answer = {
        .number = ek_wire_get_u32(in),
        .status = (ek_status) - (int32_t)ek_wire_get_u32(in + 4),
        .label = ek_wire_get_u32(in + 8),
        .score = ek_wire_get_f32(in + 12),
        .tokens = ek_wire_get_u32(in + 16),
        .image = in[20] != 0U ? in + 21 : NULL,
        .outputs = in + 53,
        .n = n - 53U,
    };
    return ek_text_answer_write(&answer, out, sizeof out, &out_bytes);
}

static ek_status pull(const uint8_t *in, size_t n) {
    static uint8_t object[BYTES_MAX];
    static ek_pull state;
    ek_chunk waiting[WAITING];
    uint32_t waits = 0;
    if (n != 20U) {
        return EK_ERR_ARGUMENT;
    }
    uint32_t seed = ek_wire_get_u32(in);
    const uint32_t total = ek_wire_get_u32(in + 4);
    const uint32_t loss = ek_wire_get_u32(in + 16);
    for (uint32_t i = 0; i < total; i++) {
        object[i] = (uint8_t)(i * 31U + i / 4096U + (i >> 3));
    }
    ek_status status =
        ek_pull_start(&state, 7, total, ek_wire_get_u32(in + 8), ek_wire_get_u32(in + 12));
    for (uint64_t now = 0; status == EK_OK && !ek_pull_done(&state); now += 50) {
        ek_chunk_request request;
        const uint8_t *bytes = NULL;
        uint32_t length = 0;
        while (waits < WAITING && ek_pull_next_request(&state, now, &request)) {
            if (random_next(&seed) % 100U >= loss) {
                ek_chunk_serve(&request, 7, object, total, 4096, &waiting[waits++]);
            }
            if (random_next(&seed) % 100U < 10U && waits < WAITING) {
                ek_chunk_serve(&request, 7, object, total, 4096, &waiting[waits++]);
            }
        }
        if (waits > 0U) {
            const uint32_t which = random_next(&seed) % waits;
            status = ek_pull_accept(&state, &waiting[which]);
            waiting[which] = waiting[--waits];
        }
        while (ek_pull_block(&state, &bytes, &length)) {
            put(bytes, length);
            ek_pull_take(&state);
        }
        if (now > 100000000U) {
            return EK_ERR_TIMEOUT;
        }
    }
    const size_t from = ek_wire_get_u32(in + 8);
    return status != EK_OK || memcmp(out, object + from, total - from) == 0 ? status : EK_ERR_HASH;
}

/* Fills weights and bias behind in. */
static void trainer_read(ek_trainer *trainer, uint32_t k, uint32_t h, float *floats,
                         const uint8_t *in) {
    trainer->weights = floats;
    trainer->bias = floats + (size_t)k * h;
    trainer->classes = k;
    trainer->features = h;
    trainer->scale = 1.0f;
    trainer->zero_point = 0;
    ek_head_floats_read(in, trainer);
}

/* k u32, h u32, run u64, round u32, samples u32, base hash 32, losses f32 f32, codec u32, entries
 * u32, seed u32, local u32, base floats, trained floats, what was left out. Answers the object and
 * what is left out then. */
static ek_status update(const uint8_t *in, size_t n) {
    static float floats[BYTES_MAX / 4U];
    ek_trainer trainer;
    ek_update u;
    const uint32_t k = ek_wire_get_u32(in);
    const uint32_t h = ek_wire_get_u32(in + 4);
    const size_t bytes = ek_head_float_bytes(k, h);
    if (n != 80U + 3U * bytes) {
        return EK_ERR_ARGUMENT;
    }
    u.run = ek_wire_get_u64(in + 8);
    u.round = ek_wire_get_u32(in + 16);
    u.samples = ek_wire_get_u32(in + 20);
    memcpy(u.base_hash, in + 24, 32);
    u.loss_first = ek_wire_get_f32(in + 56);
    u.loss_last = ek_wire_get_f32(in + 60);
    u.codec.kind = ek_wire_get_u32(in + 64);
    u.codec.entries = ek_wire_get_u32(in + 68);
    u.codec.seed = ek_wire_get_u32(in + 72);
    u.local = ek_wire_get_u32(in + 76);
    trainer_read(&trainer, k, h, floats, in + 80 + bytes);
    const ek_status status = ek_update_difference(&trainer, in + 80, in + 80 + 2U * bytes);
    if (status == EK_OK) {
        ek_update_write(&u, &trainer, out);
        out_bytes = ek_update_bytes(&u.codec, u.local, k * (h + 1U));
        put(floats, bytes);
    }
    return status;
}

/* The bytes behind a length u32. */
static const uint8_t *view_of(const uint8_t **in, size_t *n) {
    const uint8_t *bytes = *in + 4;
    *n = ek_wire_get_u32(*in);
    *in = bytes + *n;
    return bytes;
}

/* Room for an object behind its length. */
static uint8_t *begin_object(void) {
    out_bytes += 4U;
    return out + out_bytes;
}

static void end_object(size_t n) {
    ek_wire_put_u32(out + out_bytes - 4U, (uint32_t)n);
    out_bytes += n;
}

/* root 32, run u64, round u32, samples u32, losses f32 f32, n u32, values f32, then with their
 * lengths roster, inbox and request. Answers, with their lengths, keys, shares, masked update and
 * revealed shares; stops where an object is refused or empty. More than one request may follow. */
static ek_status secure(const uint8_t *in) {
    static ek_secure member;
    static float values[BYTES_MAX / 4U];
    const ek_mask_place place = {ek_wire_get_u64(in + 32), ek_wire_get_u32(in + 40)};
    const ek_mask_facts facts = {ek_wire_get_u32(in + 44), ek_wire_get_f32(in + 48),
                                 ek_wire_get_f32(in + 52)};
    const uint32_t count = ek_wire_get_u32(in + 56);
    size_t n = 0;
    ek_secure_begin(&member, &place, in, begin_object());
    end_object(EK_SECURE_KEYS_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = ek_wire_get_f32(in + 60U + 4U * i);
    }
    in += 60U + 4U * count;
    const uint8_t *object = view_of(&in, &n);
    ek_status status = n == 0U ? EK_OK : ek_secure_roster(&member, object, n);
    if (n == 0U || status != EK_OK) {
        return status;
    }
    uint8_t *made = begin_object();
    for (uint32_t i = 0; i < member.count && status == EK_OK; i++) {
        status = ek_secure_share(&member, i, made);
    }
    end_object(ek_secure_shares_end(&member, made));
    object = view_of(&in, &n);
    if (status == EK_OK && n != 0U) {
        status = ek_secure_inbox(&member, object, n);
    }
    for (uint32_t i = 0; i < member.count && status == EK_OK && n != 0U; i++) {
        status = ek_secure_open(&member, i, object);
    }
    if (n == 0U || status != EK_OK) {
        return status;
    }
    made = begin_object();
    const size_t bytes = ek_secure_masked(&member, &facts, values, count, made);
    for (uint32_t i = 0; i < member.count && status == EK_OK; i++) {
        status = ek_secure_mask(&member, i, made, bytes);
    }
    end_object(bytes);
    while (status == EK_OK) {
        object = view_of(&in, &n);
        if (n == 0U) {
            break;
        }
        made = begin_object();
        memcpy(made, object, n);
        status = ek_secure_reveal(&member, made, 2048, &n);
        end_object(status == EK_OK ? n : 0U);
    }
    return status;
}

static ek_status exponentials(const uint8_t *in, size_t n, int logarithm) {
    for (size_t i = 0; i + 4U <= n; i += 4U) {
        const float x = ek_wire_get_f32(in + i);
        put_u32(ek_wire_float_bits(logarithm != 0 ? ek_log_f32(x) : ek_exp_f32(x)));
    }
    return EK_OK;
}

static ek_status provision(const uint8_t *in, size_t n) {
    ek_provision p;
    if (n != EK_PROVISION_BYTES) {
        return EK_ERR_ARGUMENT;
    }
    ek_status status = ek_provision_read(in, &p);
    if (status == EK_OK) {
        put_u32((uint32_t)p.mode);
        put(p.id, 32);
        put(p.gateway, 4);
        put_u32(p.gateway_port);
        put(p.token, 8);
        put(p.secret, 32);
        put(p.release_key, 32);
        put(p.entropy, 32);
    }
    return status;
}

static ek_status sha512(const uint8_t *in, size_t n) {
    ek_sha512 hash;
    const size_t first = n / 3U; /* in two pieces, so that the block's rest is carried over */
    ek_sha512_start(&hash);
    ek_sha512_add(&hash, in, first);
    ek_sha512_add(&hash, in + first, n - first);
    ek_sha512_finish(&hash, out);
    out_bytes = 64;
    return EK_OK;
}

static ek_status run(uint8_t operation, const uint8_t *in, size_t n) {
    char text[512];
    ek_chunk_request request;
    ek_chunk chunk;
    const uint8_t *a = NULL;
    const uint8_t *b = NULL;
    uint32_t boot = 0;
    ek_status status;
    switch (operation) {
    case 0:
        memcpy(out + 4, in + 1, n - 1U);
        return ek_frame_close(out, sizeof out, in[0], n - 1U, &out_bytes);
    case 1:
        return frame_open(in, n);
    case 2:
        return ek_cobs_encode(in, n, out, sizeof out, &out_bytes);
    case 3:
        return ek_cobs_decode(in, n, out, sizeof out, &out_bytes);
    case 4:
        return seal(in, n, 1);
    case 5:
        return seal(in, n, 0);
    case 6:
        memcpy(text, in + 4, n - 4U);
        text[n - 4U] = '\0';
        return ek_hello_write(text, ek_wire_get_u32(in), out, sizeof out, &out_bytes);
    case 7:
        return ek_ping_write(ek_wire_get_u32(in), out, sizeof out, &out_bytes);
    case 8:
        return ek_claim_request_write(in, in + 8, in + 40, out, sizeof out, &out_bytes);
    case 9:
        return reported(in, n);
    case 10: {
        const ek_telemetry telemetry = {ek_wire_get_u64(in), ek_wire_get_u64(in + 8),
                                        ek_wire_get_u64(in + 16), ek_wire_get_u64(in + 24),
                                        ek_wire_get_u64(in + 32)};
        return ek_telemetry_write(&telemetry, out, sizeof out, &out_bytes);
    }
    case 11:
        memcpy(text, in + 1, n - 1U);
        text[n - 1U] = '\0';
        return ek_log_write(in[0], text, out, sizeof out, &out_bytes);
    case 12:
        request.object = ek_wire_get_u64(in);
        request.offset = ek_wire_get_u32(in + 8);
        request.length = ek_wire_get_u32(in + 12);
        return ek_chunk_request_write(&request, out, sizeof out, &out_bytes);
    case 13:
        chunk.object = ek_wire_get_u64(in);
        chunk.offset = ek_wire_get_u32(in + 8);
        chunk.total = ek_wire_get_u32(in + 12);
        chunk.bytes = in + 16;
        chunk.n = n - 16U;
        return ek_chunk_write(&chunk, out, sizeof out, &out_bytes);
    case 14:
        status = ek_boot_read(in, n, &boot);
        put_u32(boot);
        return status;
    case 15:
        status = ek_claim_response_read(in, n, &a, &b);
        if (status == EK_OK) {
            put(a, 32);
            put(b, 16);
        }
        return status;
    case 16:
        return desired(in, n);
    case 17:
        status = ek_chunk_request_read(in, n, &request);
        if (status == EK_OK) {
            put_u64(request.object);
            put_u32(request.offset);
            put_u32(request.length);
        }
        return status;
    case 18:
        return chunk_read(in, n);
    case 19:
        return manifest(in, n);
    case 20:
        return sha512(in, n);
    case 21: /* signature 64, key 32, length of the prefix u8, prefix, message */
        memcpy(text, in + 97, in[96]);
        text[in[96]] = '\0';
        return ek_ed25519_check(in, in + 64, text, in + 97 + in[96], n - 97U - in[96]);
    case 22:
        return update(in, n);
    case 23: /* k u32, h u32, hash 32, object */
        return ek_head_object_open(in + 40, n - 40U, ek_wire_get_u32(in), ek_wire_get_u32(in + 4),
                                   in + 8);
    case 24:
        return provision(in, n);
    case 25:
        return pull(in, n);
    case 26:
        return exponentials(in, n, 0);
    case 27:
        return exponentials(in, n, 1);
    case 28:
        return ek_utf8_valid(in, n) ? EK_OK : EK_ERR_CBOR;
    case 29:
        return read_question(in, n);
    case 30:
        return write_answer(in, n);
    case 31:
        return secure(in);
    default:
        return EK_ERR_ARGUMENT;
    }
}

int main(void) {
    uint8_t head[5];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        const size_t n = ek_wire_get_u32(head + 1);
        uint8_t *in =
            malloc(n > 0U ? n : 1U); /* exact, so that the sanitizer sees one byte too many */
        if (in == NULL || n > BYTES_MAX || fread(in, 1, n, stdin) != n) {
            return 1;
        }
        out_bytes = 0;
        const ek_status status = run(head[0], in, n);
        free(in);
        head[0] = (uint8_t)(-(int)status);
        ek_wire_put_u32(head + 1, (uint32_t)out_bytes);
        if (fwrite(head, 1, sizeof head, stdout) != sizeof head ||
            fwrite(out, 1, out_bytes, stdout) != out_bytes) {
            return 1;
        }
    }
    return 0;
}
