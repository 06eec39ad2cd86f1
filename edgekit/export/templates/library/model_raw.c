
void ${prefix}_input_from_raw(const uint8_t *raw, int8_t *input) {
    (void)ek_features_apply(&image, raw, input);
}
