#include "ek_codec.h"

#include <string.h>

#include "../link/ek_wire.h"
#include "ek_mix.h"

#define BLOCK 256U
#define SIGN 0x80000000U
#define HALF_LARGEST 0x477fe000U /* 65504 */
#define HALF_NORMAL 0x38800000U  /* 2^-14 */

static size_t bitmap_bytes(uint32_t size) {
    return ((size_t)size + 7U) / 8U;
}

size_t ek_codec_bytes(const ek_codec *codec, uint32_t size) {
    const int sparse = ek_codec_is_sparse(codec->kind);
    const size_t sent = sparse ? codec->entries : size;
    const size_t bitmap = sparse ? bitmap_bytes(size) : 0U;
    switch (codec->kind) {
    case EK_CODEC_FLOAT32:
        return 4U * sent;
    case EK_CODEC_FLOAT16:
    case EK_CODEC_TOP_P:
        return bitmap + 2U * sent;
    default:
        return bitmap + sent + 4U * ((sent + BLOCK - 1U) / BLOCK);
    }
}

/* Orders values by magnitude. */
static uint32_t magnitude(float value) {
    return ek_wire_float_bits(value) & ~SIGN;
}

static uint32_t count_from(const float *values, uint32_t size, uint32_t least) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < size; i++) {
        n += magnitude(values[i]) >= least ? 1U : 0U;
    }
    return n;
}

/* Sets the bits of the n largest, of equal ones the first. Finds the n-th by its bits, from the
 * highest down. */
static void choose(const float *values, uint32_t size, uint32_t n, uint8_t *bitmap) {
    uint32_t least = 0;
    for (uint32_t bit = SIGN >> 1; bit != 0U; bit >>= 1) {
        least |= count_from(values, size, least | bit) >= n ? bit : 0U;
    }
    uint32_t equal = n - count_from(values, size, least + 1U);
    memset(bitmap, 0, bitmap_bytes(size));
    for (uint32_t i = 0; i < size; i++) {
        const uint32_t own = magnitude(values[i]);
        const int tie = own == least && equal > 0U;
        equal -= tie ? 1U : 0U;
        bitmap[i / 8U] = (uint8_t)(bitmap[i / 8U] | (own > least || tie ? 1U << i % 8U : 0U));
    }
}

/* The next value from i on that is sent; size if there is none. */
static uint32_t next_sent(const uint8_t *bitmap, uint32_t i, uint32_t size) {
    while (bitmap != NULL && i < size && ((unsigned)bitmap[i / 8U] >> i % 8U & 1U) == 0U) {
        i++;
    }
    return i;
}

/* Rounds to nearest even, saturates. */
static uint16_t half_of(float value) {
    const uint32_t bits = ek_wire_float_bits(value);
    const uint32_t own = bits & ~SIGN;
    uint32_t half;
    if (own >= HALF_LARGEST) {
        half = 0x7bffU;
    } else if (own < HALF_NORMAL) {
        /* The last bit of a number above 1/2 is 2^-24, as that of a small float16. */
        half = ek_wire_float_bits(ek_wire_bits_float(own) + 0.5f) - 0x3f000000U;
    } else {
        half = (own + 0xfffU + (own >> 13 & 1U) - 0x38000000U) >> 13;
    }
    return (uint16_t)(bits >> 16 & 0x8000U) | (uint16_t)half;
}

static float float_of(uint16_t half) {
    const uint32_t own = half & 0x7fffU;
    const float value = own < 0x400U ? (float)own * 5.9604644775390625e-8f
                                     : ek_wire_bits_float((own << 13) + 0x38000000U);
    return half > 0x7fffU ? -value : value;
}

static uint8_t *put_halves(float *values, const uint8_t *bitmap, uint32_t size, uint8_t *out) {
    for (uint32_t i = 0; (i = next_sent(bitmap, i, size)) < size; i++) {
        const uint16_t half = half_of(values[i]);
        ek_wire_put_u16(out, half);
        out += 2;
        values[i] = values[i] - float_of(half);
    }
    return out;
}

/* The whole number below x, within +-127. */
static int32_t level_of(float x) {
    const float held = x > 127.0f ? 127.0f : x < -127.0f ? -127.0f : x;
    const int32_t whole = (int32_t)held;
    return (float)whole > held ? whole - 1 : whole;
}

static uint8_t *put_levels(float *values, const uint8_t *bitmap, uint32_t size, uint32_t seed,
                           uint8_t *out) {
    for (uint32_t begin = 0; (begin = next_sent(bitmap, begin, size)) < size;) {
        uint32_t largest = 0;
        uint32_t count = 0;
        uint32_t end = begin;
        for (; count < BLOCK && (end = next_sent(bitmap, end, size)) < size; end++, count++) {
            const uint32_t own = magnitude(values[end]);
            largest = own > largest ? own : largest;
        }
        const float scale = ek_wire_bits_float(largest) / 127.0f;
        ek_wire_put_f32(out, scale);
        out += 4;
        for (; (begin = next_sent(bitmap, begin, end)) < end; begin++) {
            const float x = scale > 0.0f ? values[begin] / scale + ek_mix_chance(seed) : 0.0f;
            const int32_t level = level_of(x);
            seed++;
            *out++ = (uint8_t)level;
            values[begin] = values[begin] - (float)level * scale;
        }
    }
    return out;
}

size_t ek_codec_write(const ek_codec *codec, float *values, uint32_t size, uint8_t *out) {
    const uint8_t *begin = out;
    const uint8_t *bitmap = NULL;
    if (codec->kind == EK_CODEC_FLOAT32) {
        for (uint32_t i = 0; i < size; i++) {
            ek_wire_put_f32(out + 4U * (size_t)i, values[i]);
            values[i] = 0.0f;
        }
        return 4U * (size_t)size;
    }
    if (ek_codec_is_sparse(codec->kind)) {
        choose(values, size, codec->entries, out);
        bitmap = out;
        out += bitmap_bytes(size);
    }
    out = codec->kind == EK_CODEC_FLOAT16 || codec->kind == EK_CODEC_TOP_P
              ? put_halves(values, bitmap, size, out)
              : put_levels(values, bitmap, size, codec->seed, out);
    return (size_t)(out - begin);
}
