/* Byte-pair tokenizer. The ids equal those of the library `tokenizers` with the normaliser and the
 * splitter that edgekit/data/tokenizer.py names. No heap; a word of any length in the memory below.
 *
 * A word beyond WINDOW is cut where it must be: some token ends within the last `longest` symbols
 * of the window, and what stands before an end of a token does not depend on what follows. So what
 * the window's beginnings up to each of these places have in common is final.
 * Twin: edgekit/data/tokenizer.py */
#include <string.h>

#include "ek_bytes.h"
#include "ek_token_table.h"
#include "ek_utf8.h"

enum { WINDOW = 240, END_OF_TEXT = 0x10000 };

/* Where in the text we are, between two symbols. */
typedef struct reader {
    const ek_token_table *table;
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *string; /* the next of the symbols that one code point became, or NULL */
    uint32_t letters[2];   /* of a syllable, the last first */
    uint32_t waiting;      /* symbols of the code point that was read */
} reader;

/* Some symbols of one word, on their way to tokens. */
typedef struct word {
    uint32_t count;
    uint16_t ids[WINDOW];
    uint16_t made[WINDOW]; /* of ids i and i + 1 */
    uint8_t symbols[WINDOW];
} word;

/* The id of a special token that stands here, and moves behind it; 0xffff if there is none. */
static uint32_t take_special(reader *r) {
    static const char names[5][7] = {"[PAD]", "[UNK]", "[CLS]", "[MASK]", "[SEP]"};
    for (uint32_t id = 0; id < 5u; id++) {
        const size_t n = strlen(names[id]);
        if ((size_t)(r->end - r->at) >= n && memcmp(r->at, names[id], n) == 0) {
            r->at += n;
            return id;
        }
    }
    return 0xffff;
}

/* The symbol of a letter of a syllable: a code point that becomes one symbol. */
static uint32_t letter(const ek_token_table *table, uint32_t code) {
    const size_t point = ek_token_point(table, code);
    const uint32_t entry = ek_get_u32(table->codes + 4u * point);
    const uint32_t value = ek_get_u16(table->values + 2u * point);
    switch (entry & 0x7ffu) {
    case EK_POINT_SYMBOL:
        return value;
    case EK_POINT_RUN:
        return value + code - (entry >> 11);
    default:
        return EK_SYMBOL_UNKNOWN;
    }
}

/* Source: The Unicode Standard, 3.12, "Hangul Syllable Decomposition". */
static void split_syllable(reader *r, uint32_t code) {
    const uint32_t index = code - EK_HANGUL_FIRST;
    const uint32_t tail = index % 28u;
    r->waiting = tail != 0u ? 2u : 1u;
    r->letters[0] = 0x11a7u + tail;
    r->letters[r->waiting - 1u] = 0x1161u + index % 588u / 28u;
    r->string = NULL;
}

/* The next symbol of the text, END_OF_TEXT at its end. */
static uint32_t next_symbol(reader *r) {
    const ek_token_table *table = r->table;
    for (;;) {
        if (r->waiting != 0u) {
            r->waiting--;
            if (r->string == NULL) {
                return letter(table, r->letters[r->waiting]);
            }
            r->string += 2;
            return ek_get_u16(r->string - 2);
        }
        if (r->at == r->end) {
            return END_OF_TEXT;
        }
        if (*r->at == '[') {
            const uint32_t special = take_special(r);
            if (special != 0xffffu) {
                return special; /* stands alone */
            }
        }
        const uint32_t code = ek_utf8_next(&r->at, r->end);
        const size_t point = ek_token_point(table, code);
        const uint32_t entry = ek_get_u32(table->codes + 4u * point);
        const uint32_t value = ek_get_u16(table->values + 2u * point);
        switch (entry & 0x7ffu) {
        case EK_POINT_SYMBOL:
            return value;
        case EK_POINT_RUN:
            return value + code - (entry >> 11);
        case EK_POINT_HANGUL:
            split_syllable(r, code);
            return letter(table, 0x1100u + (code - EK_HANGUL_FIRST) / 588u);
        case EK_POINT_STRING:
            r->string = table->strings + 2u * (size_t)value + 2u;
            r->waiting = ek_get_u16(r->string - 2);
            break;
        default:
            break;
        }
    }
}

/* Puts the word's symbols together until nothing more fits: always the merge that was learnt first,
 * of equal ones the leftmost. */
static void merge_word(const ek_token_table *table, word *w) {
    for (uint32_t i = 0; i + 1u < w->count; i++) {
        w->made[i] = (uint16_t)ek_token_merge(table, w->ids[i], w->ids[i + 1u]);
    }
    for (;;) {
        uint32_t best = 0;
        uint32_t made = EK_NO_MERGE;
        for (uint32_t i = 0; i + 1u < w->count; i++) {
            if (w->made[i] < made) {
                made = w->made[i];
                best = i;
            }
        }
        if (made == EK_NO_MERGE) {
            return;
        }
        w->ids[best] = (uint16_t)made;
        w->symbols[best] = (uint8_t)(w->symbols[best] + w->symbols[best + 1u]);
        w->count--;
        for (uint32_t i = best + 1u; i < w->count; i++) {
            w->ids[i] = w->ids[i + 1u];
            w->symbols[i] = w->symbols[i + 1u];
            w->made[i] = w->made[i + 1u];
        }
        if (best + 1u < w->count) {
            w->made[best] = (uint16_t)ek_token_merge(table, made, w->ids[best + 1u]);
        }
        if (best > 0u) {
            w->made[best - 1u] = (uint16_t)ek_token_merge(table, w->ids[best - 1u], made);
        }
    }
}

/* Reads a word of at most `most` symbols, whose first one was read. Returns 1 if that is all of it,
 * 0 if it may go on; *r stands behind it, or behind the space that ends it. */
static int read_word(reader *r, uint32_t symbol, uint32_t most, word *w) {
    const uint32_t class = ek_symbol_class_of(symbol);
    w->count = 0;
    for (;;) {
        w->symbols[w->count] = 1;
        w->ids[w->count++] = (uint16_t)ek_symbol_id(symbol);
        if (w->count == most) {
            return 0;
        }
        const reader here = *r;
        symbol = next_symbol(r);
        if (ek_symbol_class_of(symbol) != class) {
            if (ek_symbol_class_of(symbol) != EK_SYMBOL_SPACE) {
                *r = here;
            }
            return 1;
        }
    }
}

/* Tokens of a word that is longer than the window: those that are certain. Returns how many of them
 * go to ids, at most room, and moves *start behind what they cover. */
static uint32_t cut_word(reader *start, word *w, uint8_t *ids, uint32_t room) {
    const ek_token_table *table = start->table;
    uint32_t common = room;
    for (uint32_t cut = 0; cut < table->longest; cut++) {
        reader r = *start;
        (void)read_word(&r, next_symbol(&r), WINDOW - cut, w);
        merge_word(table, w);
        common = common < w->count ? common : w->count;
        for (uint32_t i = 0; i < common; i++) {
            if (cut == 0u) {
                ek_put_u32(ids + 4u * (size_t)i, w->ids[i]);
            } else if (ek_get_u32(ids + 4u * (size_t)i) != w->ids[i]) {
                common = i;
            }
        }
    }
    common = common > 0u ? common : 1u; /* no vocabulary is known where this happens */
    ek_put_u32(ids, w->ids[0]);
    uint32_t symbols = 0;
    for (uint32_t i = 0; i < common; i++) {
        symbols += w->symbols[i];
    }
    for (; symbols != 0u; symbols--) {
        (void)next_symbol(start);
    }
    return common;
}

/* Tokens of the next word, space or symbol that stands alone; returns how many of them go to ids,
 * at most room. *r stands at the end of the text if there is nothing more. */
static uint32_t next_tokens(reader *r, word *w, uint8_t *ids, uint32_t room) {
    reader start = *r;
    const uint32_t symbol = next_symbol(r);
    if (symbol == END_OF_TEXT || ek_symbol_class_of(symbol) == EK_SYMBOL_SPACE) {
        return 0;
    }
    if (ek_symbol_class_of(symbol) == EK_SYMBOL_ALONE) {
        ek_put_u32(ids, symbol);
        return 1;
    }
    if (!read_word(r, symbol, WINDOW, w)) {
        const uint32_t count = cut_word(&start, w, ids, room);
        *r = start;
        return count;
    }
    merge_word(r->table, w);
    const uint32_t count = w->count < room ? w->count : room;
    for (uint32_t i = 0; i < count; i++) {
        ek_put_u32(ids + 4u * (size_t)i, w->ids[i]);
    }
    return count;
}

uint32_t ek_tokenize(const uint8_t *table, const uint8_t *text, size_t bytes, uint8_t *ids,
                     uint32_t limit) {
    ek_token_table view;
    word w;
    reader r = {.table = &view, .at = text, .end = text + bytes};
    if (limit == 0u) {
        return 0;
    }
    ek_token_table_view(table, &view);
    ek_put_u32(ids, EK_ID_CLASS);
    uint32_t count = 1;
    while (count < limit && (r.at != r.end || r.waiting != 0u)) {
        count += next_tokens(&r, &w, ids + 4u * (size_t)count, limit - count);
    }
    return count;
}
