#include <stdint.h>
#include <string.h>

/* Else the compiler finds memcpy in memcpy and calls it. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

static int is_aligned(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) & 3U) == 0U;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    uint8_t *out = to;
    const uint8_t *in = from;
    typedef uint32_t __attribute__((may_alias)) word;
    if (is_aligned(to, from)) {
        for (; n >= 4; n -= 4, out += 4, in += 4) {
            *(word *)(void *)out = *(const word *)(const void *)in;
        }
    }
    for (; n > 0; n--) {
        *out++ = *in++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((uintptr_t)to <= (uintptr_t)from) {
        for (size_t i = 0; i < n; i++) {
            out[i] = in[i];
        }
        return to;
    }
    while (n-- > 0) {
        out[n] = in[n];
    }
    return to;
}

void *memset(void *to, int value, size_t n) {
    uint8_t *out = to;
    typedef uint32_t __attribute__((may_alias)) word;
    const uint32_t four = 0x01010101U * (uint8_t)value;
    if (is_aligned(to, to)) {
        for (; n >= 4; n -= 4, out += 4) {
            *(word *)(void *)out = four;
        }
    }
    for (; n > 0; n--) {
        *out++ = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const uint8_t *x = a;
    const uint8_t *y = b;
    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n] != 0) {
        n++;
    }
    return n;
}
