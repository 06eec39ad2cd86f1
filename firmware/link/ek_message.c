#include "ek_message.h"

#include "ek_wire.h"

#define MOST_STEPS_PER_MINUTE 60000U
#define LAST_METHOD 3U
#define LAST_PHASE 4U
#define LAST_CODEC 4U
#define LOCAL_MAX 65535U
#define LEARNING_PAIRS 3U
#define LEARNING_PAIRS_MAX 7U
#define TASK_PAIRS 9U
#define TASK_PAIRS_MAX 15U
#define SIGNATURE_BYTES 64U
#define NAME_MAX_BYTES 64U

static ek_status finish(const ek_cbor_writer *w, size_t *n) {
    *n = w->n;
    return w->status;
}

static uint64_t positive(ek_status status) {
    return (uint64_t)(-(int64_t)status);
}

ek_status ek_hello_write(const char *id, uint32_t boot, uint8_t *out, size_t capacity, size_t *n) {
    ek_cbor_writer w;
    ek_cbor_write_start(&w, out, capacity);
    ek_cbor_put_map(&w, 2);
    ek_cbor_put_field_text(&w, 0, id, strlen(id));
    ek_cbor_put_field_uint(&w, 1, boot);
    return finish(&w, n);
}

ek_status ek_ping_write(uint32_t boot, uint8_t *out, size_t capacity, size_t *n) {
    ek_cbor_writer w;
    ek_cbor_write_start(&w, out, capacity);
    ek_cbor_put_map(&w, 1);
    ek_cbor_put_field_uint(&w, 0, boot);
    return finish(&w, n);
}

ek_status ek_claim_request_write(const uint8_t token[8], const uint8_t key[32],
                                 const uint8_t code[16], uint8_t *out, size_t capacity, size_t *n) {
    ek_cbor_writer w;
    ek_cbor_write_start(&w, out, capacity);
    ek_cbor_put_map(&w, 3);
    ek_cbor_put_field_bytes(&w, 0, token, 8);
    ek_cbor_put_field_bytes(&w, 1, key, 32);
    ek_cbor_put_field_bytes(&w, 2, code, 16);
    return finish(&w, n);
}

static void put_update(ek_cbor_writer *w, const ek_update_report *update) {
    ek_cbor_put_map(w, 5);
    ek_cbor_put_field_uint(w, 0, (uint64_t)update->state);
    ek_cbor_put_field_optional(w, 1, update->image, 32);
    ek_cbor_put_field_uint(w, 2, update->bytes_done);
    ek_cbor_put_field_uint(w, 3, positive(update->status));
    ek_cbor_put_field_uint(w, 4, update->counter);
}

static void put_task(ek_cbor_writer *w, const ek_task_report *task) {
    ek_cbor_put_map(w, 8U + (task->phase != 0U));
    ek_cbor_put_field_uint(w, 0, task->run);
    ek_cbor_put_field_uint(w, 1, task->round);
    ek_cbor_put_field_uint(w, 2, (uint64_t)task->state);
    ek_cbor_put_field_uint(w, 3, task->object);
    ek_cbor_put_field_uint(w, 4, task->bytes);
    ek_cbor_put_field_optional(w, 5, task->digest, 32);
    ek_cbor_put_field_uint(w, 6, task->samples);
    ek_cbor_put_field_uint(w, 7, positive(task->status));
    if (task->phase != 0U) {
        ek_cbor_put_field_uint(w, 8, task->phase);
    }
}

ek_status ek_reported_write(const ek_reported *reported, uint8_t *out, size_t capacity, size_t *n) {
    ek_cbor_writer w;
    ek_cbor_write_start(&w, out, capacity);
    const size_t sensors = strlen(reported->sensors);
    const size_t skills = strlen(reported->skills);
    ek_cbor_put_map(&w, 12U + (sensors != 0U) + (reported->battery_mv != 0U) + (skills != 0U));
    ek_cbor_put_field_uint(&w, 0, reported->boot);
    ek_cbor_put_field_uint(&w, 1, reported->desired_version);
    ek_cbor_put_field_text(&w, 2, reported->board, strlen(reported->board));
    ek_cbor_put_field_text(&w, 3, reported->firmware, strlen(reported->firmware));
    ek_cbor_put_field_bytes(&w, 4, reported->kernel_set, 8);
    ek_cbor_put_field_optional(&w, 5, reported->active_image, 32);
    ek_cbor_put_field_uint(&w, 6, reported->counter);
    ek_cbor_put_uint(&w, 7);
    put_update(&w, &reported->update);
    ek_cbor_put_field_map(&w, 8, 2);
    ek_cbor_put_field_uint(&w, 0, reported->free_ram_bytes);
    ek_cbor_put_field_uint(&w, 1, reported->free_slot_bytes);
    ek_cbor_put_uint(&w, 9);
    put_task(&w, &reported->task);
    ek_cbor_put_field_uint(&w, 10, reported->uptime_s);
    ek_cbor_put_field_optional(&w, 11, reported->head_hash, 32);
    if (sensors != 0U) {
        ek_cbor_put_field_text(&w, 12, reported->sensors, sensors);
    }
    if (reported->battery_mv != 0U) {
        ek_cbor_put_field_uint(&w, 13, reported->battery_mv);
    }
    if (skills != 0U) {
        ek_cbor_put_field_text(&w, 14, reported->skills, skills);
    }
    return finish(&w, n);
}

ek_status ek_telemetry_write(const ek_telemetry *telemetry, uint8_t *out, size_t capacity,
                             size_t *n) {
    ek_cbor_writer w;
    ek_cbor_write_start(&w, out, capacity);
    ek_cbor_put_map(&w, 5);
    ek_cbor_put_field_uint(&w, 0, telemetry->uptime_ms);
    ek_cbor_put_field_uint(&w, 1, telemetry->inferences);
    ek_cbor_put_field_uint(&w, 2, telemetry->bytes_in);
    ek_cbor_put_field_uint(&w, 3, telemetry->bytes_out);
    ek_cbor_put_field_uint(&w, 4, telemetry->refused);
    return finish(&w, n);
}

ek_status ek_text_answer_write(const ek_text_answer *answer, uint8_t *out, size_t capacity,
                               size_t *n) {
    ek_cbor_writer w;
    ek_cbor_write_start(&w, out, capacity);
    ek_cbor_put_map(&w, 7);
    ek_cbor_put_field_uint(&w, 0, answer->number);
    ek_cbor_put_field_uint(&w, 1, positive(answer->status));
    ek_cbor_put_field_optional(&w, 2, answer->image, 32);
    ek_cbor_put_field_uint(&w, 3, answer->label);
    ek_cbor_put_field_uint(&w, 4, ek_wire_float_bits(answer->score));
    ek_cbor_put_field_uint(&w, 5, answer->tokens);
    ek_cbor_put_field_bytes(&w, 6, answer->outputs, answer->n);
    return finish(&w, n);
}

ek_status ek_log_write(uint32_t level, const char *text, uint8_t *out, size_t capacity, size_t *n) {
    ek_cbor_writer w;
    size_t length = strlen(text);
    if (level > 3U) {
        return EK_ERR_ARGUMENT;
    }
    ek_cbor_write_start(&w, out, capacity);
    ek_cbor_put_map(&w, 2);
    ek_cbor_put_field_uint(&w, 0, level);
    ek_cbor_put_field_text(&w, 1, text, length < EK_LOG_TEXT_MAX ? length : EK_LOG_TEXT_MAX);
    return finish(&w, n);
}

ek_status ek_chunk_request_write(const ek_chunk_request *request, uint8_t *out, size_t capacity,
                                 size_t *n) {
    if (capacity < EK_CHUNK_HEAD_BYTES) {
        return EK_ERR_SPACE;
    }
    ek_wire_put_u64(out, request->object);
    ek_wire_put_u32(out + 8, request->offset);
    ek_wire_put_u32(out + 12, request->length);
    *n = EK_CHUNK_HEAD_BYTES;
    return EK_OK;
}

ek_status ek_chunk_write(const ek_chunk *chunk, uint8_t *out, size_t capacity, size_t *n) {
    if (chunk->n > EK_CHUNK_BYTES_MAX || capacity < EK_CHUNK_HEAD_BYTES + chunk->n) {
        return EK_ERR_SPACE;
    }
    ek_wire_put_u64(out, chunk->object);
    ek_wire_put_u32(out + 8, chunk->offset);
    ek_wire_put_u32(out + 12, chunk->total);
    if (chunk->n > 0U) {
        memcpy(out + EK_CHUNK_HEAD_BYTES, chunk->bytes, chunk->n);
    }
    *n = EK_CHUNK_HEAD_BYTES + chunk->n;
    return EK_OK;
}

ek_status ek_boot_read(const uint8_t *bytes, size_t n, uint32_t *boot) {
    ek_cbor_reader r;
    ek_cbor_read_start(&r, bytes, n);
    ek_cbor_get_map(&r, 1);
    ek_cbor_get_key(&r, 0);
    *boot = (uint32_t)ek_cbor_get_uint(&r, UINT32_MAX);
    return ek_cbor_read_end(&r);
}

static const uint8_t *get_exact(ek_cbor_reader *r, uint32_t key, size_t n) {
    ek_cbor_get_key(r, key);
    return ek_cbor_get_bytes(r, n, n).bytes;
}

/* A field of n bytes, copied. */
static void copy_exact(ek_cbor_reader *r, uint32_t key, uint8_t *out, size_t n) {
    const uint8_t *bytes = get_exact(r, key, n);
    if (bytes != NULL) {
        memcpy(out, bytes, n);
    }
}

static uint64_t get_field(ek_cbor_reader *r, uint32_t key, uint64_t maximum) {
    ek_cbor_get_key(r, key);
    return ek_cbor_get_uint(r, maximum);
}

ek_status ek_claim_response_read(const uint8_t *bytes, size_t n, const uint8_t **key,
                                 const uint8_t **code) {
    ek_cbor_reader r;
    ek_cbor_read_start(&r, bytes, n);
    ek_cbor_get_map(&r, 2);
    *key = get_exact(&r, 0, 32);
    *code = get_exact(&r, 1, 16);
    return ek_cbor_read_end(&r);
}

/* A finite float32, from its bits. */
static float finite(ek_cbor_reader *r, uint32_t bits) {
    if ((bits & 0x7f800000U) == 0x7f800000U && r->status == EK_OK) {
        r->status = EK_ERR_NOT_FINITE;
    }
    return ek_wire_bits_float(bits);
}

static float get_finite(ek_cbor_reader *r, uint32_t key) {
    return finite(r, (uint32_t)get_field(r, key, UINT32_MAX));
}

/* A field that is left out where it is 0; pairs: how many of the map are still to come. */
static uint32_t get_optional(ek_cbor_reader *r, uint32_t key, uint32_t maximum, uint32_t *pairs) {
    if (*pairs == 0U || !ek_cbor_take_key(r, key)) {
        return 0;
    }
    (*pairs)--;
    const uint32_t value = (uint32_t)ek_cbor_get_uint(r, maximum);
    if (value == 0U && r->status == EK_OK) {
        r->status = EK_ERR_RANGE;
    }
    return value;
}

static void get_phase(ek_cbor_reader *r, ek_task *task) {
    ek_cbor_get_map(r, 3);
    task->phase = (uint32_t)get_field(r, 0, LAST_PHASE);
    ek_cbor_get_key(r, 1);
    task->has_input = !ek_cbor_take_null(r);
    if (task->has_input) {
        const uint8_t *hash = ek_cbor_get_bytes(r, 32, 32).bytes;
        if (hash != NULL) {
            memcpy(task->input_hash, hash, 32);
        }
    }
    task->input_bytes = (uint32_t)get_field(r, 2, UINT32_MAX);
    if (task->phase == 0U && r->status == EK_OK) {
        r->status = EK_ERR_RANGE;
    }
}

static void get_task(ek_cbor_reader *r, ek_task *task) {
    uint32_t pairs = ek_cbor_get_map_between(r, TASK_PAIRS, TASK_PAIRS_MAX) - TASK_PAIRS;
    task->run = get_field(r, 0, UINT64_MAX);
    task->round = (uint32_t)get_field(r, 1, UINT32_MAX);
    copy_exact(r, 2, task->base_hash, 32);
    task->object = get_field(r, 3, UINT64_MAX);
    task->bytes = (uint32_t)get_field(r, 4, UINT32_MAX);
    task->epochs = (uint32_t)get_field(r, 5, UINT32_MAX);
    task->rate = get_finite(r, 6);
    task->decay = get_finite(r, 7);
    task->deadline_s = (uint32_t)get_field(r, 8, UINT32_MAX);
    task->codec = get_optional(r, 9, LAST_CODEC, &pairs);
    task->entries = get_optional(r, 10, UINT32_MAX, &pairs);
    task->mu = finite(r, get_optional(r, 11, UINT32_MAX, &pairs));
    task->local = get_optional(r, 12, LOCAL_MAX, &pairs);
    task->feedback = get_optional(r, 13, 1, &pairs);
    if (pairs != 0U && ek_cbor_take_key(r, 14)) {
        pairs--;
        get_phase(r, task);
    }
    if (pairs != 0U && r->status == EK_OK) {
        r->status = EK_ERR_CBOR;
    }
}

static void get_learning(ek_cbor_reader *r, ek_learning *learning) {
    uint32_t pairs = ek_cbor_get_map_between(r, LEARNING_PAIRS, LEARNING_PAIRS_MAX);
    pairs -= LEARNING_PAIRS;
    learning->steps_per_minute = (uint32_t)get_field(r, 0, MOST_STEPS_PER_MINUTE);
    learning->method = (uint32_t)get_field(r, 1, LAST_METHOD);
    learning->rate = get_finite(r, 2);
    learning->momentum = finite(r, get_optional(r, 3, UINT32_MAX, &pairs));
    learning->standardize = get_optional(r, 4, 1, &pairs);
    learning->warm_up = get_optional(r, 5, UINT32_MAX, &pairs);
    learning->window = get_optional(r, 6, UINT32_MAX, &pairs);
    if (pairs != 0U && r->status == EK_OK) {
        r->status = EK_ERR_CBOR;
    }
    if (r->status == EK_OK && learning->steps_per_minute == 0U) {
        r->status = EK_ERR_RANGE;
    }
}

ek_status ek_desired_read(const uint8_t *bytes, size_t n, ek_desired *desired) {
    ek_cbor_reader r;
    memset(desired, 0, sizeof *desired);
    ek_cbor_read_start(&r, bytes, n);
    ek_cbor_get_map(&r, 6);
    desired->version = (uint32_t)get_field(&r, 0, UINT32_MAX);
    desired->time_s = get_field(&r, 1, UINT64_MAX);
    ek_cbor_get_key(&r, 2);
    if (!ek_cbor_take_null(&r)) {
        desired->has_model = true;
        ek_cbor_get_map(&r, 2);
        ek_cbor_get_key(&r, 0);
        desired->manifest = ek_cbor_get_bytes(&r, 1, EK_MANIFEST_BYTES_MAX);
        desired->signature = get_exact(&r, 1, SIGNATURE_BYTES);
    }
    ek_cbor_get_key(&r, 3);
    if (!ek_cbor_take_null(&r)) {
        desired->has_task = true;
        get_task(&r, &desired->task);
    }
    desired->heartbeat_s = (uint32_t)get_field(&r, 4, UINT32_MAX);
    ek_cbor_get_key(&r, 5);
    if (!ek_cbor_take_null(&r)) {
        desired->has_learning = true;
        get_learning(&r, &desired->learning);
    }
    if (r.status == EK_OK && desired->heartbeat_s == 0U) {
        r.status = EK_ERR_RANGE;
    }
    return ek_cbor_read_end(&r);
}

ek_status ek_text_question_read(const uint8_t *bytes, size_t n, ek_text_question *question) {
    ek_cbor_reader r;
    memset(question, 0, sizeof *question);
    ek_cbor_read_start(&r, bytes, n);
    ek_cbor_get_map(&r, 2);
    question->number = (uint32_t)get_field(&r, 0, UINT32_MAX);
    ek_cbor_get_key(&r, 1);
    question->text = ek_cbor_get_bytes(&r, 0, EK_TEXT_MAX);
    return ek_cbor_read_end(&r);
}

ek_status ek_chunk_request_read(const uint8_t *bytes, size_t n, ek_chunk_request *request) {
    if (n < EK_CHUNK_HEAD_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    if (n > EK_CHUNK_HEAD_BYTES) {
        return EK_ERR_RANGE;
    }
    request->object = ek_wire_get_u64(bytes);
    request->offset = ek_wire_get_u32(bytes + 8);
    request->length = ek_wire_get_u32(bytes + 12);
    return request->length >= 1U && request->length <= EK_CHUNK_BYTES_MAX ? EK_OK : EK_ERR_RANGE;
}

ek_status ek_chunk_read(const uint8_t *bytes, size_t n, ek_chunk *chunk) {
    if (n < EK_CHUNK_HEAD_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    chunk->object = ek_wire_get_u64(bytes);
    chunk->offset = ek_wire_get_u32(bytes + 8);
    chunk->total = ek_wire_get_u32(bytes + 12);
    chunk->bytes = bytes + EK_CHUNK_HEAD_BYTES;
    chunk->n = n - EK_CHUNK_HEAD_BYTES;
    if (chunk->n > EK_CHUNK_BYTES_MAX || chunk->offset > chunk->total ||
        chunk->n > chunk->total - chunk->offset) {
        return EK_ERR_RANGE;
    }
    return chunk->n > 0U || chunk->total == 0U ? EK_OK : EK_ERR_RANGE;
}

ek_status ek_manifest_read(const uint8_t *bytes, size_t n, ek_manifest *manifest) {
    ek_cbor_reader r;
    memset(manifest, 0, sizeof *manifest);
    ek_cbor_read_start(&r, bytes, n);
    ek_cbor_get_map(&r, 12);
    if (get_field(&r, 0, UINT64_MAX) != 1U && r.status == EK_OK) {
        r.status = EK_ERR_VERSION;
    }
    ek_cbor_get_key(&r, 1);
    manifest->name = ek_cbor_get_text(&r, 0, NAME_MAX_BYTES);
    ek_cbor_get_key(&r, 2);
    manifest->version = ek_cbor_get_text(&r, 0, NAME_MAX_BYTES);
    manifest->counter = get_field(&r, 3, UINT64_MAX);
    copy_exact(&r, 4, manifest->image, 32);
    manifest->image_bytes = (uint32_t)get_field(&r, 5, UINT32_MAX);
    if (get_field(&r, 6, UINT32_MAX) != EK_BLOCK_BYTES && r.status == EK_OK) {
        r.status = EK_ERR_VERSION;
    }
    copy_exact(&r, 7, manifest->list_digest, 32);
    ek_cbor_get_key(&r, 8);
    manifest->device_class = ek_cbor_get_text(&r, 0, NAME_MAX_BYTES);
    copy_exact(&r, 9, manifest->kernel_set, 8);
    manifest->arena_bytes = (uint32_t)get_field(&r, 10, UINT32_MAX);
    manifest->expiry_s = get_field(&r, 11, UINT64_MAX);
    if (r.status == EK_OK && (manifest->counter == 0U || manifest->image_bytes == 0U)) {
        r.status = EK_ERR_RANGE;
    }
    return ek_cbor_read_end(&r);
}

uint64_t ek_object_id(const uint8_t digest[32]) {
    return ek_wire_get_u64(digest);
}
