#include "ek_program.h"

#include "ek_bytes.h"
#include "ek_container.h"
#include "ek_prepared.h"
#include "ek_resolve.h"
#include "ek_variables.h"

typedef struct step {
    ek_call call;
    ek_run_fn run;               /* if nothing is prepared */
    const ek_prepared *prepared; /* else NULL */
    void *constants;
} step;

struct ek_program {
    const ek_image *image;
    uint8_t *arena;
    uint8_t *workspace;
    step steps[];
};

static size_t aligned(size_t bytes) {
    return (bytes + EK_PREPARED_ALIGN - 1) / EK_PREPARED_ALIGN * EK_PREPARED_ALIGN;
}

static size_t steps_bytes(const ek_image *image) {
    return aligned(sizeof(ek_program) + image->node_count * sizeof(step));
}

/* What a node asks for; nothing if it runs as it is. */
static const ek_prepared *prepared_for(const ek_call *call, const ek_op *op,
                                       ek_prepared_need *need) {
    const ek_prepared *prepared = ek_prepared_find(op->number);
    need->constants = 0;
    need->workspace = 0;
    return prepared != NULL && prepared->need(call, need) ? prepared : NULL;
}

size_t ek_program_bytes(const ek_image *image) {
    size_t bytes = steps_bytes(image);
    size_t workspace = 0;
    for (uint32_t node = 0; node < image->node_count; node++) {
        ek_call call;
        const ek_op *op;
        ek_prepared_need need;
        ek_node_resolve(image, node, NULL, &call, &op);
        if (prepared_for(&call, op, &need) != NULL) {
            bytes += aligned(need.constants);
            workspace = need.workspace > workspace ? need.workspace : workspace;
        }
    }
    return bytes + aligned(workspace);
}

ek_status ek_program_open(const ek_image *image, uint8_t *arena, size_t arena_bytes, void *memory) {
    if (arena_bytes < image->arena_bytes || ((uintptr_t)arena & (EK_SECTION_ALIGN - 1)) != 0) {
        return EK_ERR_ARENA;
    }
    if (((uintptr_t)memory & (EK_PREPARED_ALIGN - 1)) != 0) {
        return EK_ERR_ARGUMENT;
    }
    ek_program *program = memory;
    uint8_t *free = (uint8_t *)memory + steps_bytes(image);
    program->image = image;
    program->arena = arena;
    for (uint32_t node = 0; node < image->node_count; node++) {
        step *s = &program->steps[node];
        const ek_op *op;
        ek_prepared_need need;
        ek_node_resolve(image, node, arena, &s->call, &op);
        s->run = op->run;
        s->prepared = prepared_for(&s->call, op, &need);
        s->constants = free;
        if (s->prepared != NULL) {
            s->prepared->fill(&s->call, s->constants);
            free += aligned(need.constants);
        }
    }
    program->workspace = free;
    return EK_OK;
}

/* Runs steps [0, end) on one input; tensors stay in the arena. */
static void run_steps(const ek_program *program, const int8_t *input, uint32_t end) {
    memcpy(ek_image_input(program->image, program->arena), input, program->image->input_bytes);
    for (const step *s = program->steps; s < program->steps + end; s++) {
        if (s->prepared != NULL) {
            s->prepared->run(&s->call, s->constants, program->workspace);
        } else {
            s->run(&s->call);
        }
    }
}

ek_status ek_program_run(const ek_program *program, const int8_t *inputs, int8_t *outputs,
                         size_t count) {
    const ek_image *image = program->image;
    for (; count != 0; count--) {
        run_steps(program, inputs, image->node_count);
        memcpy(outputs, ek_image_output(image, program->arena), image->output_bytes);
        ek_variables_step(image, program->arena);
        inputs += image->input_bytes;
        outputs += image->output_bytes;
    }
    return EK_OK;
}

ek_status ek_program_features(const ek_program *program, const int8_t *inputs, int8_t *features,
                              size_t count) {
    const ek_image *image = program->image;
    if (image->head == NULL) {
        return EK_ERR_STATE;
    }
    const uint32_t tensor = ek_head_tensor(image);
    const uint8_t *place = program->arena + ek_tensor_offset(image, tensor);
    const uint32_t bytes = ek_get_u32(image->head + 12);
    for (; count != 0; count--) {
        run_steps(program, inputs, image->head_node);
        memcpy(features, place, bytes);
        inputs += image->input_bytes;
        features += bytes;
    }
    return EK_OK;
}
