
/* Turns ${macro}_RAW_BYTES raw bytes, as a sensor gives them, into the model's input. input may be
 * raw itself. */
#define ${macro}_RAW_BYTES ${input_bytes}u
void ${prefix}_input_from_raw(const uint8_t *raw, int8_t *input);
