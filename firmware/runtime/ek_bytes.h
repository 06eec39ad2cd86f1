/* Little-endian reads and writes of bytes at any alignment. */
#ifndef EK_BYTES_H
#define EK_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ek_get_u16(const uint8_t *p) {
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8);
}

static inline uint32_t ek_get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline int32_t ek_get_i32(const uint8_t *p) {
    return (int32_t)ek_get_u32(p);
}

static inline void ek_put_u32(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

static inline float ek_get_f32(const uint8_t *p) {
    uint32_t bits = ek_get_u32(p);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
