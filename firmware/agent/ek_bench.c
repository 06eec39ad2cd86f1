#include "ek_bench.h"

#include <string.h>

#include "board.h"
#include "ek.h"
#include "ek_frame.h"
#include "ek_port.h"
#include "ek_wire.h"

enum { SHORT_ROUNDS = 1000, LONG_ROUNDS = 101000, STACK_OUTPUT_BYTES = 256, ALIGN = 16 };
enum { PAINT_RUN = 0xa5, PAINT_LAYERS = 0x5a };

typedef struct job {
    uint32_t count;
    uint32_t input_bytes;
    uint32_t output_bytes;
    uint32_t image_bytes;
    uint32_t inputs; /* offsets in the region */
    uint32_t outputs;
    uint32_t result;
    uint32_t text;      /* inputs are texts */
    uint32_t ids_bytes; /* behind each output; 0 if inputs are no texts */
} job;

typedef struct result {
    uint32_t done;
    uint32_t arena_bytes;
    uint32_t nodes;
    uint32_t empty_ticks;
    uint32_t short_ticks;
    uint32_t long_ticks;
    uint32_t loop_instructions;
} result;

/* Where the model works: its arena lies first, what does not fit elsewhere behind it. */
typedef struct memory {
    uint8_t *arena;
    size_t arena_bytes;
    uint8_t *input; /* NULL if inputs are read where they lie */
    int8_t *output;
} memory;

typedef struct layer_clock {
    uint32_t at; /* offset of the next ticks to write */
    uint32_t begin;
    ek_status status;
} layer_clock;

/* True if n items of size bytes lie in the region from offset on. */
static int fits(uint32_t offset, uint64_t n, uint64_t size) {
    return offset <= EK_FLASH_BENCH_BYTES && n * size <= EK_FLASH_BENCH_BYTES - offset;
}

static ek_status read_job(job *task) {
    uint8_t header[EK_BENCH_JOB_BYTES];
    const uint8_t *at = ek_bench_read(0, sizeof header, header);
    if (at == NULL) {
        return EK_ERR_FLASH;
    }
    if (memcmp(at, "EKBJ", 4) != 0) {
        return EK_ERR_MAGIC;
    }
    if (ek_wire_get_u16(at + 4) != 1U || ek_wire_get_u16(at + 6) > 1U) {
        return EK_ERR_VERSION;
    }
    if (ek_crc32(0, at, 36) != ek_wire_get_u32(at + 36)) {
        return EK_ERR_CRC;
    }
    task->text = ek_wire_get_u16(at + 6);
    task->ids_bytes = 0;
    task->count = ek_wire_get_u32(at + 8);
    task->input_bytes = ek_wire_get_u32(at + 12);
    task->output_bytes = ek_wire_get_u32(at + 16);
    task->image_bytes = ek_wire_get_u32(at + 20);
    task->inputs = ek_wire_get_u32(at + 24);
    task->outputs = ek_wire_get_u32(at + 28);
    task->result = ek_wire_get_u32(at + 32);
    if (task->count == 0U || ek_bench_image(task->image_bytes) == NULL ||
        !fits(task->inputs, task->count, task->input_bytes) ||
        !fits(task->outputs, task->count, task->output_bytes) ||
        !fits(task->result, (uint64_t)task->count * (1U + task->text) + EK_BENCH_RESULT_BYTES / 4U,
              4U)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

static ek_status write_u32(uint32_t offset, uint32_t value) {
    uint8_t bytes[4];
    ek_wire_put_u32(bytes, value);
    return ek_bench_write(offset, bytes, sizeof bytes);
}

static void on_layer(void *context, uint32_t node) {
    layer_clock *clock = context;
    const uint32_t end = ek_port_ticks();
    if (node > 0U && clock->status == EK_OK) {
        clock->status = write_u32(clock->at, end - clock->begin);
        clock->at += 4U;
    }
    clock->begin = ek_port_ticks();
}

static uint32_t loop_ticks(uint32_t rounds) {
    const uint32_t begin = ek_port_ticks();
    (void)ek_check_loop(rounds);
    return ek_port_ticks() - begin;
}

static void measure_clock(result *out) {
    const uint32_t begin = ek_port_ticks();
    out->empty_ticks = ek_port_ticks() - begin;
    /* Not inlined: both measurements are the same instructions, but for the rounds. */
    uint32_t (*const volatile measure)(uint32_t) = loop_ticks;
    out->short_ticks = measure(SHORT_ROUNDS);
    out->long_ticks = measure(LONG_ROUNDS);
    out->loop_instructions = ek_check_loop(1) * (uint32_t)(LONG_ROUNDS - SHORT_ROUNDS);
}

/* Bytes of the arena up to the last one that differs from the paint. */
static uint32_t touched(const uint8_t *arena, uint32_t n, uint8_t paint) {
    while (n > 0U && arena[n - 1U] == paint) {
        n--;
    }
    return n;
}

/* Input i, in memory for a board that cannot read it where it lies; of a text its ids, where the
 * model wants them. ticks: of making them. */
static ek_status read_input(const job *task, const ek_image *image, const memory *place, uint32_t i,
                            const int8_t **input, uint32_t *ticks) {
    const uint32_t offset = task->inputs + i * task->input_bytes;
    const uint8_t *row = ek_bench_read(offset, task->input_bytes, place->input);
    *ticks = 0;
    *input = (const int8_t *)row;
    if (row == NULL) {
        return EK_ERR_FLASH;
    }
    if (task->text == 0U) {
        return EK_OK;
    }
    const uint32_t length = ek_wire_get_u32(row);
    if (length > task->input_bytes - 4U) {
        return EK_ERR_RANGE;
    }
    uint32_t count;
    int8_t *ids = ek_image_input(image, place->arena);
    const uint32_t begin = ek_port_ticks();
    const ek_status status = ek_text_apply(image, row + 4U, length, ids, &count);
    *ticks = ek_port_ticks() - begin;
    *input = ids;
    return status;
}

/* Runs input i, and writes what came out, what went in if it was a text, and the ticks of both. */
static ek_status run_one(const job *task, const ek_image *image, const memory *place, uint32_t i,
                         uint32_t nodes) {
    const uint32_t output_at = task->outputs + i * task->output_bytes;
    const uint32_t output_bytes = task->output_bytes - task->ids_bytes;
    const uint32_t ticks_at = task->result + EK_BENCH_RESULT_BYTES;
    const int8_t *input;
    uint32_t text_ticks;
    ek_status status = read_input(task, image, place, i, &input, &text_ticks);
    if (status == EK_OK && task->text != 0U) {
        status = ek_bench_write(output_at + output_bytes, (const uint8_t *)input, task->ids_bytes);
        if (status == EK_OK) {
            status = write_u32(ticks_at + 4U * (task->count + nodes + i), text_ticks);
        }
    }
    if (status != EK_OK) {
        return status;
    }
    const uint32_t begin = ek_port_ticks();
    status = ek_run(image, place->arena, place->arena_bytes, input, place->output);
    const uint32_t ticks = ek_port_ticks() - begin;
    if (status == EK_OK) {
        status = ek_bench_write(output_at, (const uint8_t *)place->output, output_bytes);
    }
    return status == EK_OK ? write_u32(ticks_at + 4U * i, ticks) : status;
}

static ek_status run_all(const job *task, const ek_image *image, const memory *place, result *out) {
    memset(place->arena, PAINT_RUN, place->arena_bytes);
    (void)ek_state_reset(image, place->arena, place->arena_bytes);
    for (uint32_t i = 0; i < task->count; i++) {
        const ek_status status = run_one(task, image, place, i, out->nodes);
        if (i == 0U) {
            out->arena_bytes = touched(place->arena, (uint32_t)place->arena_bytes, PAINT_RUN);
        }
        if (status != EK_OK) {
            return status;
        }
        out->done = i + 1U;
    }
    layer_clock clock = {.at = task->result + EK_BENCH_RESULT_BYTES + 4U * task->count,
                         .status = EK_OK};
    const int8_t *input;
    uint32_t ticks;
    memset(place->arena, PAINT_LAYERS, place->arena_bytes);
    (void)ek_state_reset(image, place->arena, place->arena_bytes);
    ek_status status = read_input(task, image, place, 0, &input, &ticks);
    if (status != EK_OK) {
        return status;
    }
    status = ek_run_hooked(image, place->arena, place->arena_bytes, input, place->output, on_layer,
                           &clock);
    const uint32_t again = touched(place->arena, (uint32_t)place->arena_bytes, PAINT_LAYERS);
    out->arena_bytes = again > out->arena_bytes ? again : out->arena_bytes;
    return status != EK_OK ? status : clock.status;
}

static uint64_t align(uint64_t n) {
    return (n + (ALIGN - 1)) / ALIGN * ALIGN;
}

/* A small output goes to the stack; what else is needed lies behind the model's arena. */
static ek_status find_places(const job *task, size_t arena_bytes, int8_t *small, memory *place) {
    const uint64_t input_at = align(arena_bytes);
    const uint64_t input_bytes = ek_bench_needs_buffer() ? align(task->input_bytes) : 0U;
    const uint64_t output_at = input_at + input_bytes;
    const uint32_t own_bytes = task->output_bytes - task->ids_bytes;
    const uint64_t output_bytes = own_bytes > STACK_OUTPUT_BYTES ? own_bytes : 0U;
    const uint64_t needed =
        input_bytes + output_bytes > 0U ? output_at + output_bytes : arena_bytes;
    if (needed > EK_ARENA_BYTES) {
        return EK_ERR_ARENA;
    }
    place->arena = ek_port_arena();
    place->arena_bytes = arena_bytes;
    place->input = input_bytes > 0U ? place->arena + input_at : NULL;
    place->output = output_bytes > 0U ? (int8_t *)(place->arena + output_at) : small;
    return EK_OK;
}

/* True if inputs and outputs of the job are those of the model, or texts and what becomes of them.
 */
static int matches(job *task, const ek_image *image) {
    if (task->text == 0U) {
        return ek_image_input_bytes(image) == task->input_bytes &&
               ek_image_output_bytes(image) == task->output_bytes;
    }
    task->ids_bytes = (uint32_t)ek_image_input_bytes(image);
    return ek_image_takes_text(image) && task->input_bytes >= 4U &&
           ek_image_output_bytes(image) + task->ids_bytes == task->output_bytes;
}

static ek_status run_job(job *task, result *out) {
    ek_image image;
    const ek_status status =
        ek_image_open(&image, ek_bench_image(task->image_bytes), task->image_bytes);
    if (status != EK_OK) {
        return status;
    }
    out->nodes = (uint32_t)ek_image_node_count(&image);
    if (!matches(task, &image)) {
        return EK_ERR_SHAPE;
    }
    const uint64_t words = (uint64_t)task->count * (1U + task->text) + out->nodes;
    if (!fits(task->result, words + EK_BENCH_RESULT_BYTES / 4U, 4U)) {
        return EK_ERR_SPACE;
    }
    int8_t small[STACK_OUTPUT_BYTES];
    memory place;
    if (find_places(task, ek_image_arena_bytes(&image), small, &place) != EK_OK) {
        return EK_ERR_ARENA;
    }
    measure_clock(out);
    return run_all(task, &image, &place, out);
}

static ek_status write_result(uint32_t offset, const result *out, ek_status status) {
    uint8_t header[EK_BENCH_RESULT_BYTES] = {'E', 'K', 'B', 'R', 1, 0};
    ek_wire_put_u16(header + 6, (uint16_t)-status);
    ek_wire_put_u32(header + 8, out->done);
    ek_wire_put_u32(header + 12, out->arena_bytes);
    ek_wire_put_u32(header + 16, out->nodes);
    ek_wire_put_u32(header + 20, out->empty_ticks);
    ek_wire_put_u32(header + 24, out->short_ticks);
    ek_wire_put_u32(header + 28, out->long_ticks);
    ek_wire_put_u32(header + 32, out->loop_instructions);
    return ek_bench_write(offset, header, sizeof header);
}

int ek_bench_main(void) {
    job task;
    result out = {0};
    ek_status status = read_job(&task);
    if (status == EK_OK) {
        status = run_job(&task, &out);
        const ek_status written = write_result(task.result, &out, status);
        status = status != EK_OK ? status : written;
    }
    ek_port_log(status == EK_OK ? "bench: done" : ek_status_text(status));
    return -(int)status;
}
