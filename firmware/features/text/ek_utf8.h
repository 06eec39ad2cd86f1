/* Reads code points out of bytes that may be no UTF-8. */
#ifndef EK_UTF8_H
#define EK_UTF8_H

#include <stdint.h>

enum { EK_UTF8_REPLACEMENT = 0xfffd };

/* The next code point; *at < end, and moves behind it. What is no UTF-8 gives U+FFFD for as many
 * bytes as Python's errors="replace" takes: the longest start of a valid sequence, or one byte.
 * Source: The Unicode Standard, 3.9, "U+FFFD Substitution of Maximal Subparts", table 3-7. */
uint32_t ek_utf8_next(const uint8_t **at, const uint8_t *end);

#endif
