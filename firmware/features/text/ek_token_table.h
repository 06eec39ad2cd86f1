/* Views into the table of a tokenizer, and the two questions that it answers: what a code point
 * becomes, and what two tokens become. Twin: edgekit/data/token_table.py */
#ifndef EK_TOKEN_TABLE_H
#define EK_TOKEN_TABLE_H

#include <stdint.h>

#include "ek_text.h"

typedef struct ek_token_table {
    uint32_t vocab;
    uint32_t first; /* id of the first merge; below: special tokens, characters */
    uint32_t lefts; /* ids that are the left side of a merge */
    uint32_t points;
    uint32_t words; /* of strings */
    uint32_t longest;
    uint32_t bytes;        /* of all, header included */
    const uint8_t *bits;   /* u32 [ceil(vocab / 32)]: which ids are left sides */
    const uint8_t *merges; /* u32 [vocab - first]: right << 16 | made, by left, then right */
    const uint8_t *codes;  /* u32 [points]: code point << 11 | kind */
    const uint8_t *values; /* u16 [points] */
    const uint8_t *counts; /* u16 [ceil(vocab / 32)]: left sides before each word of bits */
    const uint8_t *starts; /* u16 [lefts + 1]: first merge of each left side */
    const uint8_t *strings;
} ek_token_table;

/* What a point says about the code points from it to the next. */
typedef enum ek_point_kind {
    EK_POINT_NOTHING = 0, /* they vanish */
    EK_POINT_SYMBOL = 1,  /* each becomes the symbol in the value */
    EK_POINT_RUN = 2,     /* the first becomes that symbol, the next the next */
    EK_POINT_HANGUL = 3,  /* syllables, written as two or three letters */
    EK_POINT_STRING = 4   /* each becomes the symbols at this place of the strings */
} ek_point_kind;

/* A symbol is an id below 2^14 and, above it, what it may form a word with. */
typedef enum ek_symbol_class {
    EK_SYMBOL_ALONE = 0,
    EK_SYMBOL_WORD = 1,
    EK_SYMBOL_OTHER = 2,
    EK_SYMBOL_SPACE = 3
} ek_symbol_class;

enum { EK_SYMBOL_BITS = 14, EK_SYMBOL_UNKNOWN = EK_ID_UNKNOWN };
enum { EK_HANGUL_FIRST = 0xac00, EK_HANGUL_END = 0xd7a4, EK_CODE_POINTS = 0x110000 };
enum { EK_NO_MERGE = 0xffff };

static inline uint32_t ek_symbol_id(uint32_t symbol) {
    return symbol & ((1u << EK_SYMBOL_BITS) - 1u);
}

static inline uint32_t ek_symbol_class_of(uint32_t symbol) {
    return symbol >> EK_SYMBOL_BITS;
}

/* Lays the views over a table; nothing is proven. */
void ek_token_table_view(const uint8_t *table, ek_token_table *view);

/* The point that a code point below EK_CODE_POINTS belongs to. */
uint32_t ek_token_point(const ek_token_table *table, uint32_t code);

/* The id that two tokens make, or EK_NO_MERGE. */
uint32_t ek_token_merge(const ek_token_table *table, uint32_t left, uint32_t right);

#endif
