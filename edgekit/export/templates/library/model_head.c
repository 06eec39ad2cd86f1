
static const ek_image head_image = IMAGE(.head = head_bytes, .head_node = ${head_node}u);

static ek_trainer trainer_of(${prefix}_head *head) {
    return (ek_trainer){
        .weights = head->weights,
        .bias = head->bias,
        .classes = ${macro}_HEAD_CLASSES,
        .features = ${macro}_HEAD_FEATURES,
        .scale = $head_scale,
        .zero_point = $head_zero_point,
    };
}

void ${prefix}_head_start(${prefix}_head *head) {
    const uint8_t *from = head_bytes + EK_HEAD_HEADER_BYTES;
    for (uint32_t i = 0; i < ${macro}_HEAD_CLASSES * ${macro}_HEAD_FEATURES; i++) {
        head->weights[i] = ek_get_f32(from);
        from += 4;
    }
    for (uint32_t i = 0; i < ${macro}_HEAD_CLASSES; i++) {
        head->bias[i] = ek_get_f32(from);
        from += 4;
    }
}

ek_status ${prefix}_features(const int8_t *input, int8_t *features, uint8_t *arena) {
    return ek_run_features(&head_image, arena, ${macro}_ARENA_BYTES, input, features);
}

ek_status ${prefix}_head_predict(${prefix}_head *head, const int8_t *features,
                                 float *probabilities) {
    const ek_trainer trainer = trainer_of(head);
    return ek_head_predict(&trainer, features, probabilities);
}

ek_status ${prefix}_head_train(${prefix}_head *head, const int8_t *features, uint32_t label,
                               float rate, float decay, float *loss) {
    const ek_trainer trainer = trainer_of(head);
    const ek_train_rule rule = {.rate = rate, .decay = decay};
    return ek_head_train(&trainer, &rule, features, label, head->scratch, loss);
}
