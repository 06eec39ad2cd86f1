/* The board's samples, as the head reads them: raw bytes, the model's input, features. */
#include "ek_agent.h"
#include "ek_port.h"

static size_t aligned(size_t n) {
    return (n + 15U) / 16U * 16U;
}

bool ek_sample_room_find(const ek_agent *agent, ek_sample_room *room) {
    const size_t raw_at = aligned(ek_image_arena_bytes(&agent->image));
    const size_t input_at = raw_at + aligned(ek_image_raw_bytes(&agent->image));
    const size_t features_at = input_at + aligned(ek_image_input_bytes(&agent->image));
    room->raw = ek_port_arena() + raw_at;
    room->input = (int8_t *)(ek_port_arena() + input_at);
    const size_t p_at = features_at + aligned(agent->learn.head.features);
    room->features = (int8_t *)(ek_port_arena() + features_at);
    room->p = (float *)(void *)(ek_port_arena() + p_at);
    room->at = p_at + aligned(sizeof(float) * agent->learn.head.classes);
    return room->at <= EK_ARENA_BYTES;
}

int8_t *ek_learn_room(const ek_agent *agent) {
    ek_sample_room room;
    return ek_sample_room_find(agent, &room) ? room.features : NULL;
}

/* The input, by its own mean and variance. */
static ek_status standardize(ek_agent_online *online, const ek_sample_room *room) {
    ek_moments *moments = &online->moments;
    if (sizeof(ek_real) * moments->size > EK_ARENA_BYTES - room->at) {
        return EK_ERR_ARENA;
    }
    return ek_moments_standardize(moments, online->input_scale, online->input_zero_point,
                                  (ek_real *)(void *)(ek_port_arena() + room->at), room->input);
}

ek_status ek_learn_features(ek_agent *agent, ek_agent_online *online, int8_t *features,
                            uint16_t *label) {
    ek_sample_room room;
    if (!ek_sample_room_find(agent, &room)) {
        return EK_ERR_ARENA;
    }
    const size_t arena_bytes = ek_image_arena_bytes(&agent->image);
    ek_status status = ek_port_sample_next(room.raw, ek_image_raw_bytes(&agent->image), label);
    if (status == EK_OK) {
        status = ek_features_apply(&agent->image, room.raw, room.input);
    }
    if (status == EK_OK && online != NULL && online->moments.size > 0U) {
        status = standardize(online, &room);
    }
    if (status == EK_OK) {
        agent->inferences++;
        status = ek_run_features(&agent->image, ek_port_arena(), arena_bytes, room.input,
                                 features == NULL ? room.features : features);
    }
    return status;
}
