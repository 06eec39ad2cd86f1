
/* Turns UTF-8 into the ids that the model reads, ${macro}_INPUT_BYTES bytes; returns how many ids are
 * no filling. Text of any length: what does not fit is not read, and what is no UTF-8 is left out. */
uint32_t ${prefix}_input_from_text(const char *text, uint32_t bytes, int8_t *input);
