#include "ek_utf8.h"

/* Continuation bytes after a first byte, and the range of the first of them. */
static uint32_t follow(uint32_t lead, uint32_t *low, uint32_t *high) {
    *low = lead == 0xe0u ? 0xa0u : lead == 0xf0u ? 0x90u : 0x80u;
    *high = lead == 0xedu ? 0x9fu : lead == 0xf4u ? 0x8fu : 0xbfu;
    if (lead >= 0xc2u && lead <= 0xdfu) {
        return 1;
    }
    if (lead >= 0xe0u && lead <= 0xefu) {
        return 2;
    }
    return lead >= 0xf0u && lead <= 0xf4u ? 3 : 0;
}

uint32_t ek_utf8_next(const uint8_t **at, const uint8_t *end) {
    const uint32_t lead = *(*at)++;
    uint32_t low;
    uint32_t high;
    if (lead < 0x80u) {
        return lead;
    }
    uint32_t left = follow(lead, &low, &high);
    if (left == 0u) {
        return EK_UTF8_REPLACEMENT;
    }
    uint32_t code = lead & (0x3fu >> left);
    for (; left != 0u; left--) {
        if (*at == end || **at < low || **at > high) {
            return EK_UTF8_REPLACEMENT;
        }
        code = code << 6 | (*(*at)++ & 0x3fu);
        low = 0x80u;
        high = 0xbfu;
    }
    return code;
}
