#include "ek_matmul_small.h"

void ek_small_put(ek_small_sink *sink, const int8_t *x, size_t count) {
    int32_t sum = 0;
    if (sink->words == NULL) {
        ek_copy_bytes(sink->bytes, x, count);
        sink->bytes += count;
        for (; count != 0; count--) {
            sum += *x++;
        }
    } else {
        uint32_t *to = sink->words;
        for (; count >= 4; count -= 4) {
            const int32_t a = x[0];
            const int32_t b = x[1];
            const int32_t c = x[2];
            const int32_t d = x[3];
            to[0] = (uint32_t)a;
            to[4] = (uint32_t)b;
            to[8] = (uint32_t)c;
            to[12] = (uint32_t)d;
            sum += a + b + c + d;
            x += 4;
            to += 16;
        }
        for (; count != 0; count--) {
            const int32_t value = *x++;
            sum += value;
            *to = (uint32_t)value;
            to += 4;
        }
        sink->words = to;
    }
    sink->sum += (uint32_t)sum;
}

void ek_small_fill(ek_small_sink *sink, int32_t value, size_t count) {
    sink->sum += (uint32_t)value * (uint32_t)count;
    for (; count != 0; count--) {
        if (sink->words == NULL) {
            *sink->bytes++ = (int8_t)value;
        } else {
            *sink->words = (uint32_t)value;
            sink->words += 4;
        }
    }
}

/* Constants of outputs [first, first + count): those of the image, or made if all have one scale.
 */
static const uint8_t *rows_of(const ek_small_matmul *m, uint32_t first, uint32_t count,
                              uint8_t *made) {
    const uint8_t *rows = m->requant + (size_t)first * m->requant_stride;
    if (m->requant_stride == EK_SMALL_ROW) {
        return rows;
    }
    for (uint32_t i = 0; i < count; i++) {
        ek_put_u32(made + (size_t)EK_SMALL_ROW * i, ek_get_u32(rows + 4u * (size_t)i));
        ek_put_u32(made + (size_t)EK_SMALL_ROW * i + 4, (uint32_t)m->multiplier);
        ek_put_u32(made + (size_t)EK_SMALL_ROW * i + 8, (uint32_t)m->shift);
    }
    return made;
}

/* Sums to outputs [first, first + count) of some pixels, the first of which lies at y. */
static void finish(const ek_small_matmul *m, uint32_t first, uint32_t count, const uint32_t *sums,
                   uint32_t pixels, const uint32_t *totals, int8_t *y) {
    uint32_t made[EK_SMALL_GROUP * EK_SMALL_ROW / 4];
    const uint32_t most =
        m->requant_stride == EK_SMALL_ROW ? (uint32_t)EK_SMALL_CHUNK : (uint32_t)EK_SMALL_GROUP;
    ek_small_output out = {.row_step = EK_SMALL_ROW,
                           .y_step = 1,
                           .zero_point = m->out.zero_point,
                           .low = m->out.low,
                           .high = m->out.high,
                           .single = m->rounding == EK_ROUND_SINGLE};
    for (uint32_t i = 0; i < count; i += most) {
        const uint32_t part = count - i < most ? count - i : most;
        out.rows = rows_of(m, first + i, part, (uint8_t *)made);
        for (uint32_t p = 0; p < pixels; p++) {
            out.offset = (int32_t)(0u - 128u * totals[p]);
            ek_finish_small(&out, sums + (size_t)EK_SMALL_CHUNK * p + i,
                            y + (size_t)m->n * p + first + i, part);
        }
    }
}

/* Four pixels at a time. */
static void tile(const ek_small_matmul *m, const int8_t *x, int8_t *y) {
    uint32_t *sums = (uint32_t *)(void *)m->scratch;
    uint32_t *words = (uint32_t *)(void *)(m->scratch + EK_SMALL_SUMS);
    uint32_t totals[EK_SMALL_PIXELS];
    for (uint32_t p = 0; p < EK_SMALL_PIXELS; p++) {
        ek_small_sink sink = {words + p, NULL, 0};
        if (m->x != NULL) {
            ek_small_put(&sink, x + (size_t)m->k * p, m->k);
        } else {
            m->next(m->state, &sink);
        }
        totals[p] = sink.sum;
    }
    const uint8_t *w = m->weights;
    for (uint32_t first = 0; first < m->n; first += EK_SMALL_CHUNK) {
        const uint32_t left = m->n - first;
        const uint32_t count = left < EK_SMALL_CHUNK ? left : (uint32_t)EK_SMALL_CHUNK;
        for (uint32_t i = 0; i < count; i += EK_SMALL_GROUP) {
            ek_tile_small(w, words, m->k, sums + i);
            w += (size_t)EK_SMALL_GROUP * m->k;
        }
        finish(m, first, count, sums, EK_SMALL_PIXELS, totals, y);
    }
}

/* One pixel. */
static void column(const ek_small_matmul *m, const int8_t *x, int8_t *y) {
    uint32_t sums[EK_SMALL_GROUP];
    uint32_t total = 0;
    if (m->x == NULL) {
        ek_small_sink sink = {NULL, (int8_t *)m->scratch, 0};
        m->next(m->state, &sink);
        x = (const int8_t *)m->scratch;
        total = sink.sum;
    } else {
        int32_t sum = 0;
        for (uint32_t i = 0; i < m->k; i++) {
            sum += x[i];
        }
        total = (uint32_t)sum;
    }
    const uint8_t *w = m->weights;
    for (uint32_t first = 0; first < m->n; first += EK_SMALL_GROUP) {
        const uint32_t left = m->n - first;
        ek_column_small(w, x, m->k, sums);
        finish(m, first, left < EK_SMALL_GROUP ? left : (uint32_t)EK_SMALL_GROUP, sums, 1, &total,
               y);
        w += (size_t)EK_SMALL_GROUP * m->k;
    }
}

void ek_matmul_small(const ek_small_matmul *m, uint32_t rows, int8_t *y) {
    const int8_t *x = m->x;
    while (rows != 0) {
        const int tiled = m->tiled != 0 && rows >= EK_SMALL_PIXELS;
        const uint32_t pixels = tiled ? (uint32_t)EK_SMALL_PIXELS : 1u;
        if (tiled) {
            tile(m, x, y);
        } else {
            column(m, x, y);
        }
        x = m->x == NULL ? NULL : x + (size_t)m->k * pixels;
        y += (size_t)m->n * pixels;
        rows -= pixels;
    }
}
