
/* Begins a stream: gives the model's variables their first values, in the arena. Needed before the
 * first run, and after ${prefix}_check only for another arena. Statuses: EK_ERR_ARENA. */
ek_status ${prefix}_reset(uint8_t *arena);
