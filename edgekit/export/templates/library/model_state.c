
ek_status ${prefix}_reset(uint8_t *arena) {
    return ek_state_reset(&image, arena, ${macro}_ARENA_BYTES);
}
