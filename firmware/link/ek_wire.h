/* Little-endian integers in byte buffers: the only way this code reads or writes bytes of a format.
 */
#ifndef EK_WIRE_H
#define EK_WIRE_H

#include <stdint.h>
#include <string.h>

static inline uint16_t ek_wire_get_u16(const uint8_t *p) {
    return (uint16_t)((unsigned)p[0] | ((unsigned)p[1] << 8));
}

static inline uint32_t ek_wire_get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline uint64_t ek_wire_get_u64(const uint8_t *p) {
    return (uint64_t)ek_wire_get_u32(p) | ((uint64_t)ek_wire_get_u32(p + 4) << 32);
}

static inline void ek_wire_put_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value & 0xffU);
    p[1] = (uint8_t)(value >> 8);
}

static inline void ek_wire_put_u32(uint8_t *p, uint32_t value) {
    ek_wire_put_u16(p, (uint16_t)(value & 0xffffU));
    ek_wire_put_u16(p + 2, (uint16_t)(value >> 16));
}

static inline void ek_wire_put_u64(uint8_t *p, uint64_t value) {
    ek_wire_put_u32(p, (uint32_t)(value & 0xffffffffU));
    ek_wire_put_u32(p + 4, (uint32_t)(value >> 32));
}

/* A float32 as its 32 bits, and back. */
static inline uint32_t ek_wire_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float ek_wire_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float ek_wire_get_f32(const uint8_t *p) {
    return ek_wire_bits_float(ek_wire_get_u32(p));
}

static inline void ek_wire_put_f32(uint8_t *p, float value) {
    ek_wire_put_u32(p, ek_wire_float_bits(value));
}

#endif
