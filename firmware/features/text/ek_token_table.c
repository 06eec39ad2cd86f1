#include "ek_token_table.h"

#include "ek_bytes.h"

static uint32_t count_bits(uint32_t bits) {
    bits = bits - ((bits >> 1) & 0x55555555u);
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u);
    return (((bits + (bits >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24;
}

void ek_token_table_view(const uint8_t *table, ek_token_table *view) {
    view->vocab = ek_get_u32(table);
    view->first = ek_get_u32(table + 4);
    view->lefts = ek_get_u32(table + 8);
    view->points = ek_get_u32(table + 12);
    view->words = ek_get_u32(table + 16);
    view->longest = ek_get_u32(table + 20);
    const uint32_t blocks = (view->vocab + 31u) / 32u;
    view->bits = table + EK_TOKEN_HEADER_BYTES;
    view->merges = view->bits + 4u * (size_t)blocks;
    view->codes = view->merges + 4u * (size_t)(view->vocab - view->first);
    view->values = view->codes + 4u * (size_t)view->points;
    view->counts = view->values + 2u * (size_t)view->points;
    view->starts = view->counts + 2u * (size_t)blocks;
    view->strings = view->starts + 2u * ((size_t)view->lefts + 1u);
    view->bytes = (uint32_t)(view->strings + 2u * (size_t)view->words - table);
}

uint32_t ek_token_point(const ek_token_table *table, uint32_t code) {
    const uint32_t key = code << 11 | 0x7ffu;
    uint32_t low = 0;
    uint32_t high = table->points;
    while (high - low > 1u) {
        const uint32_t middle = (low + high) / 2u;
        if (ek_get_u32(table->codes + 4u * (size_t)middle) <= key) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t ek_token_merge(const ek_token_table *table, uint32_t left, uint32_t right) {
    const size_t block = left / 32u;
    const uint32_t bit = 1u << (left % 32u);
    const uint32_t bits = ek_get_u32(table->bits + 4u * block);
    if ((bits & bit) == 0u) {
        return EK_NO_MERGE;
    }
    const size_t number = ek_get_u16(table->counts + 2u * block) + count_bits(bits & (bit - 1u));
    uint32_t low = ek_get_u16(table->starts + 2u * number);
    uint32_t high = ek_get_u16(table->starts + 2u * number + 2u);
    while (low < high) {
        const uint32_t middle = (low + high) / 2u;
        const uint32_t merge = ek_get_u32(table->merges + 4u * (size_t)middle);
        if (merge >> 16 == right) {
            return merge & 0xffffu;
        }
        if (merge >> 16 < right) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return EK_NO_MERGE;
}

/* Which ids are left sides, and where the merges of each stand: in order, without gaps. */
static int prove_lefts(const ek_token_table *table) {
    uint32_t count = 0;
    for (uint32_t block = 0; block < (table->vocab + 31u) / 32u; block++) {
        const uint32_t bits = ek_get_u32(table->bits + 4u * (size_t)block);
        const uint32_t held = table->vocab - 32u * block;
        if (ek_get_u16(table->counts + 2u * (size_t)block) != count ||
            (held < 32u && bits >> held != 0u)) {
            return 0;
        }
        count += count_bits(bits);
    }
    uint32_t before = ek_get_u16(table->starts);
    if (count != table->lefts || before != 0u) {
        return 0;
    }
    for (uint32_t i = 1; i <= table->lefts; i++) {
        const uint32_t start = ek_get_u16(table->starts + 2u * (size_t)i);
        if (start < before) {
            return 0;
        }
        before = start;
    }
    return before == table->vocab - table->first;
}

/* Merges make ids that are larger than both sides; the right sides of one left side rise. */
static int prove_merges(const ek_token_table *table) {
    uint32_t number = 0;
    for (uint32_t left = 0; left < table->vocab; left++) {
        if ((ek_get_u32(table->bits + 4u * (size_t)(left / 32u)) >> (left % 32u) & 1u) == 0u) {
            continue;
        }
        const uint32_t end = ek_get_u16(table->starts + 2u * (size_t)number + 2u);
        uint32_t least = 0;
        for (uint32_t i = ek_get_u16(table->starts + 2u * (size_t)number); i < end; i++) {
            const uint32_t merge = ek_get_u32(table->merges + 4u * (size_t)i);
            const uint32_t made = merge & 0xffffu;
            if (merge >> 16 < least || merge >> 16 >= made || left >= made || made < table->first ||
                made >= table->vocab) {
                return 0;
            }
            least = (merge >> 16) + 1u;
        }
        number++;
    }
    return 1;
}

static int prove_string(const ek_token_table *table, uint32_t at) {
    if (at >= table->words) {
        return 0;
    }
    const uint32_t count = ek_get_u16(table->strings + 2u * (size_t)at);
    if (count == 0u || count >= table->words - at) {
        return 0;
    }
    for (uint32_t i = 1; i <= count; i++) {
        if (ek_symbol_id(ek_get_u16(table->strings + 2u * (size_t)(at + i))) >= table->first) {
            return 0;
        }
    }
    return 1;
}

/* What a point says holds for every code point up to the next one. */
static int prove_point(const ek_token_table *table, uint32_t kind, uint32_t value, uint32_t code,
                       uint32_t end) {
    switch (kind) {
    case EK_POINT_NOTHING:
        return 1;
    case EK_POINT_SYMBOL:
        return ek_symbol_id(value) < table->first;
    case EK_POINT_RUN:
        return ek_symbol_id(value) + (end - code) <= table->first;
    case EK_POINT_HANGUL:
        return code >= EK_HANGUL_FIRST && end <= EK_HANGUL_END;
    case EK_POINT_STRING:
        return prove_string(table, value);
    default:
        return 0;
    }
}

static int prove_points(const ek_token_table *table) {
    uint32_t code = ek_get_u32(table->codes) >> 11;
    if (code != 0u) {
        return 0;
    }
    for (uint32_t i = 0; i < table->points; i++) {
        const uint32_t end = i + 1u < table->points
                                 ? ek_get_u32(table->codes + 4u * ((size_t)i + 1u)) >> 11
                                 : (uint32_t)EK_CODE_POINTS;
        const uint32_t kind = ek_get_u32(table->codes + 4u * (size_t)i) & 0x7ffu;
        if (end <= code || end > EK_CODE_POINTS ||
            !prove_point(table, kind, ek_get_u16(table->values + 2u * (size_t)i), code, end)) {
            return 0;
        }
        code = end;
    }
    return 1;
}

ek_status ek_tokens_prove(const uint8_t *table, uint32_t bytes) {
    ek_token_table view;
    if (bytes < EK_TOKEN_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    const uint32_t vocab = ek_get_u32(table);
    const uint32_t first = ek_get_u32(table + 4);
    if (vocab > EK_TOKEN_MAX_VOCAB || first > vocab || first <= EK_ID_SEPARATOR ||
        first > 1u << EK_SYMBOL_BITS || ek_get_u32(table + 8) > vocab ||
        ek_get_u32(table + 12) == 0u || ek_get_u32(table + 12) > EK_CODE_POINTS ||
        ek_get_u32(table + 16) > 0xffffu || ek_get_u32(table + 20) == 0u ||
        ek_get_u32(table + 20) > EK_TOKEN_MAX_LONGEST) {
        return EK_ERR_RANGE;
    }
    ek_token_table_view(table, &view);
    if (view.bytes > bytes) {
        return EK_ERR_TRUNCATED;
    }
    return prove_lefts(&view) && prove_merges(&view) && prove_points(&view) ? EK_OK : EK_ERR_RANGE;
}
