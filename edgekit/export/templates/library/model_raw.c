
static const ek_image raw_image = IMAGE(.features = features_bytes);

void ${prefix}_input_from_raw(const uint8_t *raw, int8_t *input) {
    (void)ek_features_apply(&raw_image, raw, input);
}
