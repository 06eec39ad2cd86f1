#include "ek_cbor.h"

#include <string.h>

#define MAJOR_UINT 0U
#define MAJOR_BYTES 2U
#define MAJOR_TEXT 3U
#define MAJOR_MAP 5U
#define BYTE_NULL 0xf6U

void ek_cbor_write_start(ek_cbor_writer *w, uint8_t *out, size_t capacity) {
    w->out = out;
    w->capacity = capacity;
    w->n = 0;
    w->status = EK_OK;
}

static void put_raw(ek_cbor_writer *w, const uint8_t *bytes, size_t n) {
    if (w->status != EK_OK) {
        return;
    }
    if (n > w->capacity - w->n) {
        w->status = EK_ERR_SPACE;
        return;
    }
    if (n > 0U) {
        memcpy(w->out + w->n, bytes, n);
    }
    w->n += n;
}

static void put_head(ek_cbor_writer *w, uint8_t major, uint64_t value) {
    uint8_t head[9];
    size_t extra;
    uint8_t info;
    if (value < 24U) {
        extra = 0;
        info = (uint8_t)value;
    } else if (value <= 0xffU) {
        extra = 1;
        info = 24;
    } else if (value <= 0xffffU) {
        extra = 2;
        info = 25;
    } else if (value <= 0xffffffffU) {
        extra = 4;
        info = 26;
    } else {
        extra = 8;
        info = 27;
    }
    head[0] = (uint8_t)((unsigned)(major << 5) | info);
    for (size_t i = 0; i < extra; i++) {
        head[1U + i] = (uint8_t)((value >> (8U * (extra - 1U - i))) & 0xffU);
    }
    put_raw(w, head, 1U + extra);
}

void ek_cbor_put_map(ek_cbor_writer *w, uint32_t pairs) {
    put_head(w, MAJOR_MAP, pairs);
}

void ek_cbor_put_uint(ek_cbor_writer *w, uint64_t value) {
    put_head(w, MAJOR_UINT, value);
}

void ek_cbor_put_bytes(ek_cbor_writer *w, const uint8_t *bytes, size_t n) {
    put_head(w, MAJOR_BYTES, n);
    put_raw(w, bytes, n);
}

void ek_cbor_put_text(ek_cbor_writer *w, const char *text, size_t n) {
    put_head(w, MAJOR_TEXT, n);
    put_raw(w, (const uint8_t *)text, n);
}

void ek_cbor_put_null(ek_cbor_writer *w) {
    const uint8_t byte = BYTE_NULL;
    put_raw(w, &byte, 1);
}

void ek_cbor_put_field_uint(ek_cbor_writer *w, uint32_t key, uint64_t value) {
    ek_cbor_put_uint(w, key);
    ek_cbor_put_uint(w, value);
}

void ek_cbor_put_field_bytes(ek_cbor_writer *w, uint32_t key, const uint8_t *bytes, size_t n) {
    ek_cbor_put_uint(w, key);
    ek_cbor_put_bytes(w, bytes, n);
}

void ek_cbor_put_field_optional(ek_cbor_writer *w, uint32_t key, const uint8_t *bytes, size_t n) {
    ek_cbor_put_uint(w, key);
    if (bytes == NULL) {
        ek_cbor_put_null(w);
    } else {
        ek_cbor_put_bytes(w, bytes, n);
    }
}

void ek_cbor_put_field_text(ek_cbor_writer *w, uint32_t key, const char *text, size_t n) {
    ek_cbor_put_uint(w, key);
    ek_cbor_put_text(w, text, n);
}

void ek_cbor_put_field_map(ek_cbor_writer *w, uint32_t key, uint32_t pairs) {
    ek_cbor_put_uint(w, key);
    ek_cbor_put_map(w, pairs);
}

void ek_cbor_read_start(ek_cbor_reader *r, const uint8_t *bytes, size_t n) {
    r->bytes = bytes;
    r->n = n;
    r->at = 0;
    r->items = 0;
    r->status = EK_OK;
}

static void fail(ek_cbor_reader *r) {
    if (r->status == EK_OK) {
        r->status = EK_ERR_CBOR;
    }
}

/* The argument of an item of this major type, in its shortest form only. */
static uint64_t get_head(ek_cbor_reader *r, uint8_t major) {
    if (r->status != EK_OK || r->at >= r->n || r->items >= 2U * EK_CBOR_ITEMS_MAX) {
        fail(r);
        return 0;
    }
    r->items++;
    uint8_t first = r->bytes[r->at++];
    uint8_t info = first & 31U;
    if ((uint8_t)(first >> 5) != major || info > 27U) {
        fail(r);
        return 0;
    }
    if (info < 24U) {
        return info;
    }
    size_t extra = (size_t)1 << (info - 24U);
    if (extra > r->n - r->at) {
        fail(r);
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < extra; i++) {
        value = (value << 8) | r->bytes[r->at++];
    }
    const uint64_t least = extra == 1U ? 24U : (uint64_t)1 << (extra * 4U);
    if (value < least) {
        fail(r);
        return 0;
    }
    return value;
}

void ek_cbor_get_map(ek_cbor_reader *r, uint32_t pairs) {
    if (get_head(r, MAJOR_MAP) != pairs) {
        fail(r);
    }
}

uint32_t ek_cbor_get_map_between(ek_cbor_reader *r, uint32_t least, uint32_t most) {
    const uint64_t pairs = get_head(r, MAJOR_MAP);
    if (pairs < least || pairs > most) {
        fail(r);
    }
    return r->status == EK_OK ? (uint32_t)pairs : least;
}

uint64_t ek_cbor_get_uint(ek_cbor_reader *r, uint64_t maximum) {
    uint64_t value = get_head(r, MAJOR_UINT);
    if (value > maximum) {
        if (r->status == EK_OK) {
            r->status = EK_ERR_RANGE;
        }
        return 0;
    }
    return value;
}

static ek_view get_string(ek_cbor_reader *r, uint8_t major, size_t least, size_t most) {
    const ek_view none = {NULL, 0};
    uint64_t length = get_head(r, major);
    if (r->status != EK_OK) {
        return none;
    }
    if (length > r->n - r->at) {
        fail(r);
        return none;
    }
    if (length < least || length > most) {
        r->status = EK_ERR_RANGE;
        return none;
    }
    const ek_view view = {r->bytes + r->at, (size_t)length};
    r->at += (size_t)length;
    return view;
}

ek_view ek_cbor_get_bytes(ek_cbor_reader *r, size_t least, size_t most) {
    return get_string(r, MAJOR_BYTES, least, most);
}

ek_view ek_cbor_get_text(ek_cbor_reader *r, size_t least, size_t most) {
    ek_view view = get_string(r, MAJOR_TEXT, least, most);
    if (view.bytes != NULL && !ek_utf8_valid(view.bytes, view.n)) {
        fail(r);
    }
    return view;
}

bool ek_cbor_take_null(ek_cbor_reader *r) {
    if (r->status == EK_OK && r->at < r->n && r->bytes[r->at] == BYTE_NULL) {
        r->at++;
        r->items++;
        return true;
    }
    return false;
}

void ek_cbor_get_key(ek_cbor_reader *r, uint32_t key) {
    if (get_head(r, MAJOR_UINT) != key) {
        fail(r);
    }
}

bool ek_cbor_take_key(ek_cbor_reader *r, uint32_t key) {
    if (r->status == EK_OK && r->at < r->n && r->bytes[r->at] == key) {
        ek_cbor_get_key(r, key);
        return true;
    }
    return false;
}

ek_status ek_cbor_read_end(const ek_cbor_reader *r) {
    if (r->status != EK_OK) {
        return r->status;
    }
    return r->at == r->n ? EK_OK : EK_ERR_CBOR;
}

bool ek_utf8_valid(const uint8_t *bytes, size_t n) {
    size_t i = 0;
    while (i < n) {
        const uint8_t b = bytes[i++];
        size_t follow;
        uint8_t low = 0x80U;
        uint8_t high = 0xbfU;
        if (b < 0x80U) {
            continue;
        }
        if (b >= 0xc2U && b <= 0xdfU) {
            follow = 1;
        } else if (b >= 0xe0U && b <= 0xefU) {
            follow = 2;
            low = b == 0xe0U ? 0xa0U : low;
            high = b == 0xedU ? 0x9fU : high;
        } else if (b >= 0xf0U && b <= 0xf4U) {
            follow = 3;
            low = b == 0xf0U ? 0x90U : low;
            high = b == 0xf4U ? 0x8fU : high;
        } else {
            return false;
        }
        for (size_t k = 0; k < follow; k++) {
            if (i >= n || bytes[i] < low || bytes[i] > high) {
                return false;
            }
            i++;
            low = 0x80U;
            high = 0xbfU;
        }
    }
    return true;
}
