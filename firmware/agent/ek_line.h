/* One line of log, put together without printf. */
#ifndef EK_LINE_H
#define EK_LINE_H

#include <stddef.h>
#include <stdint.h>

#define EK_LINE_MAX 160U

typedef struct ek_line {
    char text[EK_LINE_MAX]; /* ends with 0; what does not fit is cut */
    size_t n;
} ek_line;

void ek_line_start(ek_line *line, const char *text);
void ek_line_text(ek_line *line, const char *text);
void ek_line_number(ek_line *line, uint64_t value);
void ek_line_hex(ek_line *line, const uint8_t *bytes, size_t n);

#endif
