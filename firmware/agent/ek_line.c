#include "ek_line.h"

static void put(ek_line *line, char c) {
    if (line->n + 1U < EK_LINE_MAX) {
        line->text[line->n++] = c;
        line->text[line->n] = '\0';
    }
}

void ek_line_start(ek_line *line, const char *text) {
    line->n = 0;
    line->text[0] = '\0';
    ek_line_text(line, text);
}

void ek_line_text(ek_line *line, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        put(line, *c);
    }
}

void ek_line_number(ek_line *line, uint64_t value) {
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + (char)(value % 10U));
        value /= 10U;
    } while (value > 0U);
    while (n > 0U) {
        put(line, digits[--n]);
    }
}

void ek_line_hex(ek_line *line, const uint8_t *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        put(line, digits[bytes[i] >> 4]);
        put(line, digits[bytes[i] & 15U]);
    }
}
