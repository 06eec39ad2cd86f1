/* Text: the table of a tokenizer, proven once, and what turns UTF-8 into ids by it. Bytes of the
 * table: firmware/runtime/CONTAINER.md, "Features". features/text implements this, features/no_text
 * stands in for it where no kernel of the firmware takes ids. */
#ifndef EK_TEXT_H
#define EK_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

enum { EK_TOKEN_HEADER_BYTES = 24, EK_TOKEN_MAX_VOCAB = 32768, EK_TOKEN_MAX_LONGEST = 32 };

enum { EK_ID_PAD = 0, EK_ID_UNKNOWN = 1, EK_ID_CLASS = 2, EK_ID_MASK = 3, EK_ID_SEPARATOR = 4 };

/* Proves a table whole: every size, index, id and order. Statuses: EK_ERR_TRUNCATED, EK_ERR_RANGE;
 * EK_ERR_OP if the firmware has no tokenizer. */
ek_status ek_tokens_prove(const uint8_t *table, uint32_t bytes);

/* Writes [CLS] and the ids of a text, at most limit of them, as u32 little-endian at ids; returns
 * how many, at least 1 if limit is. table: proven. text: UTF-8; what is none counts as U+FFFD. Time
 * grows with the text that is read, and reading stops at the limit. */
uint32_t ek_tokenize(const uint8_t *table, const uint8_t *text, size_t bytes, uint8_t *ids,
                     uint32_t limit);

#endif
