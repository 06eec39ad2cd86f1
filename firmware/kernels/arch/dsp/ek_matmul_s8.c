/* The product of ek_matmul_s8.h with the DSP instructions: rows are expanded to 16 bits tile by
 * tile, weights pair by pair, and an inner loop in assembly multiplies 2 columns by 4 rows.
 * Sums that might leave 31 bits, and shifts that are no plain right shifts, take a slower way. */
#include "ek_matmul_s8.h"

#include "ek_dsp.h"
#include "ek_tile_s8.h"

enum { BLOCK = EK_TILE_LEAST_ROWS };

/* Expands 4 rows, `stride` apart, as ek_tile wants them. The last word of terms is filled with
 * zeros. */
static uint32_t *expand_rows(const int8_t *x, size_t stride, uint32_t k, uint32_t *to) {
    const int8_t *p = x;
    uint32_t i = k;
    for (; i >= 4; i -= 4) {
        const uint32_t a = ek_load_s8x4(p);
        const uint32_t b = ek_load_s8x4(p + stride);
        const uint32_t c = ek_load_s8x4(p + 2 * stride);
        const uint32_t d = ek_load_s8x4(p + 3 * stride);
        to[0] = ek_double_lanes(ek_even_s16(a));
        to[1] = ek_double_lanes(ek_even_s16(b));
        to[2] = ek_double_lanes(ek_even_s16(c));
        to[3] = ek_double_lanes(ek_even_s16(d));
        to[4] = ek_double_lanes(ek_odd_s16(a));
        to[5] = ek_double_lanes(ek_odd_s16(b));
        to[6] = ek_double_lanes(ek_odd_s16(c));
        to[7] = ek_double_lanes(ek_odd_s16(d));
        to += 8;
        p += 4;
    }
    if (i != 0) {
        for (uint32_t row = 0; row < BLOCK; row++) {
            const uint32_t word = ek_load_s8_tail(p + row * stride, i);
            to[row] = ek_double_lanes(ek_even_s16(word));
            to[BLOCK + row] = ek_double_lanes(ek_odd_s16(word));
        }
        to += 8;
    }
    return to;
}

/* Expands the weights of two columns. */
static void expand_weights(const int8_t *w0, const int8_t *w1, uint32_t k, uint32_t *to) {
    uint32_t i = k;
    for (; i >= 4; i -= 4) {
        const uint32_t a = ek_load_s8x4(w0);
        const uint32_t b = ek_load_s8x4(w1);
        to[0] = ek_even_s16(a);
        to[1] = ek_even_s16(b);
        to[2] = ek_odd_s16(a);
        to[3] = ek_odd_s16(b);
        to += 4;
        w0 += 4;
        w1 += 4;
    }
    if (i != 0) {
        const uint32_t a = ek_load_s8_tail(w0, i);
        const uint32_t b = ek_load_s8_tail(w1, i);
        to[0] = ek_even_s16(a);
        to[1] = ek_even_s16(b);
        to[2] = ek_odd_s16(a);
        to[3] = ek_odd_s16(b);
    }
}

/* Sets bias and lane `side` from column `column`; false if its sums or its shift do not fit. */
static int prepare_lane(const ek_matmul *m, uint32_t column, uint32_t side, ek_tile *tile) {
    const uint8_t *requant = m->requant + (size_t)m->requant_stride * column;
    const int per_channel = m->requant_stride == 12;
    const int32_t bias = ek_get_i32(requant);
    const int32_t multiplier = per_channel ? ek_get_i32(requant + 4) : m->multiplier;
    const int32_t shift = per_channel ? ek_get_i32(requant + 8) : m->shift;
    if (!ek_lane_set(&tile->lane[side], multiplier, shift, m->y_zero_point) ||
        !ek_sum_fits(bias, m->k)) {
        return 0;
    }
    tile->bias[side] = 2 * bias;
    return 1;
}

/* One column without assembly, for constants that prepare_lane refuses. */
static void finish_column(const ek_matmul *m, const ek_tile *tile, uint32_t column, uint32_t side) {
    const uint8_t *requant = m->requant + (size_t)m->requant_stride * column;
    int8_t *y = tile->y + side;
    for (uint32_t row = 0; row < BLOCK * tile->blocks; row++) {
        const uint32_t *x = tile->x + (row / BLOCK) * BLOCK * tile->pairs + row % BLOCK;
        const uint32_t *w = tile->w + side;
        int32_t sum = 0;
        for (uint32_t i = tile->pairs; i != 0; i--) {
            sum = ek_multiply_lanes(*x, *w, sum);
            x += BLOCK;
            w += 2;
        }
        *y = ek_matmul_finish(m, requant, sum >> 1);
        y += m->n;
    }
}

/* Fills tile->x with rows [first, first + 4 * blocks). */
static void expand_tile(const ek_matmul *m, const ek_tile *tile, uint32_t first, uint32_t *x,
                        int8_t *patches) {
    for (uint32_t block = 0; block < tile->blocks; block++) {
        const uint32_t row = first + BLOCK * block;
        const int8_t *from = m->x + (size_t)m->k * row;
        if (m->gather != NULL) {
            for (uint32_t i = 0; i < BLOCK; i++) {
                m->gather(m->call, row + i, patches + (size_t)m->k * i);
            }
            from = patches;
        }
        x = expand_rows(from, m->k, m->k, x);
    }
}

static void multiply_tile(const ek_matmul *m, ek_tile *tile, uint32_t *weights, int8_t *y) {
    for (uint32_t n = 0; n < m->n; n += 2) {
        /* An odd last column goes with the one before it, which is computed again. */
        const uint32_t column = n + 1 < m->n || n == 0 ? n : n - 1;
        const uint32_t other = column + 1 < m->n ? column + 1 : column;
        expand_weights(m->weights + (size_t)m->k * column, m->weights + (size_t)m->k * other, m->k,
                       weights);
        tile->y = y + column;
        if (other == column || !prepare_lane(m, column, 0, tile) ||
            !prepare_lane(m, other, 1, tile)) {
            finish_column(m, tile, column, 0);
            if (other != column) {
                finish_column(m, tile, other, 1);
            }
        } else if (m->rounding == EK_ROUND_SINGLE) {
            ek_tile_single_s8(tile);
        } else {
            ek_tile_double_s8(tile);
        }
    }
    if (m->y_min > -128 || m->y_max < 127) {
        ek_limit_s8(y, (size_t)m->n * BLOCK * tile->blocks, m->y_min, m->y_max);
    }
}

/* Four columns of one row that is stored as it is. */
static void four_columns(const ek_matmul *m, const int8_t *x, const int8_t *w, int32_t *sums) {
    /* One pointer and distances: loads that only add them need no steps of their own. */
    const size_t k = m->k;
    const size_t k3 = 3 * k;
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    uint32_t i = m->k;
    for (; i >= 4; i -= 4) {
        const uint32_t word = ek_load_s8x4(x);
        const uint32_t even = ek_even_s16(word);
        const uint32_t odd = ek_odd_s16(word);
        const uint32_t a = ek_load_s8x4(w);
        const uint32_t b = ek_load_s8x4(w + k);
        const uint32_t c = ek_load_s8x4(w + 2 * k);
        const uint32_t d = ek_load_s8x4(w + k3);
        s0 = ek_multiply_lanes(ek_odd_s16(a), odd, ek_multiply_lanes(ek_even_s16(a), even, s0));
        s1 = ek_multiply_lanes(ek_odd_s16(b), odd, ek_multiply_lanes(ek_even_s16(b), even, s1));
        s2 = ek_multiply_lanes(ek_odd_s16(c), odd, ek_multiply_lanes(ek_even_s16(c), even, s2));
        s3 = ek_multiply_lanes(ek_odd_s16(d), odd, ek_multiply_lanes(ek_even_s16(d), even, s3));
        x += 4;
        w += 4;
    }
    for (; i != 0; i--) {
        const int32_t value = *x++;
        s0 += value * w[0];
        s1 += value * w[k];
        s2 += value * w[2 * k];
        s3 += value * w[k3];
        w++;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static int32_t one_column(const int8_t *x, const int8_t *w, uint32_t k) {
    int32_t sum = 0;
    for (; k >= 4; k -= 4) {
        const uint32_t a = ek_load_s8x4(x);
        const uint32_t b = ek_load_s8x4(w);
        sum = ek_multiply_lanes(ek_even_s16(a), ek_even_s16(b), sum);
        sum = ek_multiply_lanes(ek_odd_s16(a), ek_odd_s16(b), sum);
        x += 4;
        w += 4;
    }
    for (; k != 0; k--) {
        sum += *x++ * *w++;
    }
    return sum;
}

static void multiply_row(const ek_matmul *m, const int8_t *x, int8_t *y) {
    const uint8_t *requant = m->requant;
    const int8_t *w = m->weights;
    uint32_t n = m->n;
    for (; n >= 4; n -= 4) {
        int32_t sums[4];
        four_columns(m, x, w, sums);
        for (uint32_t i = 0; i < 4; i++) {
            *y++ = ek_matmul_finish(m, requant, sums[i]);
            requant += m->requant_stride;
        }
        w += 4 * (size_t)m->k;
    }
    for (; n != 0; n--) {
        *y++ = ek_matmul_finish(m, requant, one_column(x, w, m->k));
        requant += m->requant_stride;
        w += m->k;
    }
}

void ek_matmul_s8(const ek_matmul *m, uint32_t rows, int8_t *y) {
    const uint32_t tile_rows = ek_tile_rows(m->k, rows);
    const uint32_t pairs = ek_round_up_4(m->k) / 2;
    uint32_t *x = (uint32_t *)(void *)m->scratch;
    uint32_t *weights = x + (size_t)pairs * tile_rows;
    ek_tile tile = {.x = x, .w = weights, .n = m->n, .pairs = pairs};
    uint32_t first = 0;
    while (tile_rows != 0 && rows - first >= BLOCK) {
        uint32_t count = rows - first < tile_rows ? rows - first : tile_rows;
        count -= count % BLOCK;
        tile.blocks = count / BLOCK;
        expand_tile(m, &tile, first, x, (int8_t *)weights);
        multiply_tile(m, &tile, weights, y + (size_t)m->n * first);
        first += count;
    }
    for (; first < rows; first++) {
        const int8_t *row = m->x + (size_t)m->k * first;
        if (m->gather != NULL) {
            m->gather(m->call, first, (int8_t *)m->scratch);
            row = (const int8_t *)m->scratch;
        }
        multiply_row(m, row, y + (size_t)m->n * first);
    }
}
