/* Answering texts: the tokenizer and the model of the active image, in the arena. */
#include "../learn/ek_answer.h"
#include "ek_agent.h"
#include "ek_port.h"

/* Runs the active model on a text. Statuses: EK_ERR_STATE if there is none, or it takes no text. */
static ek_status classify(ek_agent *agent, const ek_view *text, ek_text_answer *answer) {
    const ek_image *image = &agent->image;
    uint8_t *arena = ek_port_arena();
    if (!agent->has_image || ek_image_arena_bytes(image) > EK_ARENA_BYTES) {
        return EK_ERR_STATE;
    }
    int8_t *input = ek_image_input(image, arena);
    int8_t *output = ek_image_output(image, arena);
    ek_status status = ek_text_apply(image, text->bytes, text->n, input, &answer->tokens);
    if (status == EK_OK) {
        status = ek_run(image, arena, EK_ARENA_BYTES, input, output);
    }
    if (status == EK_OK) {
        status = ek_answer(image, output, &answer->label, &answer->score);
    }
    if (status == EK_OK) {
        const size_t n = ek_image_output_bytes(image);
        answer->image = agent->state.slots[agent->state.active].image;
        answer->outputs = (const uint8_t *)output;
        answer->n = n <= EK_OUTPUTS_MAX ? n : 0U;
        agent->inferences++;
    }
    return status;
}

ek_status ek_agent_answer(ek_agent *agent, const uint8_t *content, size_t n) {
    ek_text_question question;
    ek_text_answer answer = {0};
    ek_status status = ek_text_question_read(content, n, &question);
    if (status != EK_OK) {
        return status;
    }
    answer.number = question.number;
    answer.status = classify(agent, &question.text, &answer);
    status = ek_text_answer_write(&answer, ek_agent_content(agent), ek_agent_content_bytes(), &n);
    return status == EK_OK ? ek_agent_send(agent, EK_FRAME_TEXT_ANSWER, n) : status;
}
