
static const ek_image text_image = IMAGE(.features = features_bytes);

uint32_t ${prefix}_input_from_text(const char *text, uint32_t bytes, int8_t *input) {
    uint32_t count = 0;
    (void)ek_text_apply(&text_image, (const uint8_t *)text, bytes, input, &count);
    return count;
}
