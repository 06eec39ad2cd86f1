/* TRANSPOSE with the vector instructions of x86-64: blocks of 8 by 8 bytes where the last dimension
 * becomes another, short copies where it stays. */
#define ek_transpose_s8 ek_transpose_portable_s8
#include "../../ek_transpose_s8.c"
#undef ek_transpose_s8

#include <immintrin.h>

/* Two of the dimensions of y: the last, and the one whose neighbours are neighbours in x. */
typedef struct plane {
    uint32_t lines;   /* of y: along the other dimension */
    uint32_t columns; /* of y: along the last */
    size_t x_step;    /* elements of x from a column to the next; from a line to the next: 1 */
    size_t y_step;    /* elements of y from a line to the next */
} plane;

/* y[j][i] = x[i][j] for i, j < 8. */
static inline void block(const int8_t *x, size_t x_step, int8_t *y, size_t y_step) {
    __m128i a[8];
    __m128i b[4];
    for (size_t i = 0; i < 8; i++) {
        a[i] = _mm_loadl_epi64((const __m128i *)(const void *)(x + i * x_step));
    }
    for (size_t i = 0; i < 4; i++) {
        b[i] = _mm_unpacklo_epi8(a[2 * i], a[2 * i + 1]);
    }
    const __m128i c0 = _mm_unpacklo_epi16(b[0], b[1]);
    const __m128i c1 = _mm_unpackhi_epi16(b[0], b[1]);
    const __m128i c2 = _mm_unpacklo_epi16(b[2], b[3]);
    const __m128i c3 = _mm_unpackhi_epi16(b[2], b[3]);
    const __m128i d[4] = {_mm_unpacklo_epi32(c0, c2), _mm_unpackhi_epi32(c0, c2),
                          _mm_unpacklo_epi32(c1, c3), _mm_unpackhi_epi32(c1, c3)};
    for (size_t i = 0; i < 4; i++) {
        _mm_storel_epi64((__m128i *)(void *)(y + 2 * i * y_step), d[i]);
        _mm_storel_epi64((__m128i *)(void *)(y + (2 * i + 1) * y_step),
                         _mm_unpackhi_epi64(d[i], d[i]));
    }
}

static void one_plane(const plane *p, const int8_t *x, int8_t *y) {
    for (uint32_t line = 0; line < p->lines; line += 8) {
        /* The last 8 may be some of those before. */
        const uint32_t j = line + 8 <= p->lines ? line : p->lines - 8;
        for (uint32_t column = 0; column < p->columns; column += 8) {
            const uint32_t i = column + 8 <= p->columns ? column : p->columns - 8;
            block(x + i * p->x_step + j, p->x_step, y + j * p->y_step + i, p->y_step);
        }
    }
}

/* A dimension of y. */
typedef struct axis {
    uint32_t size;
    size_t x_step;
    size_t y_step;
} axis;

static void axes_of(const ek_call *call, axis *axes) {
    const ek_tensor *x = &call->tensors[0];
    size_t y_step = 1;
    for (uint32_t i = x->rank; i != 0; i--) {
        axis *a = &axes[i - 1];
        a->size = call->tensors[1].dims[i - 1];
        a->x_step = 1;
        for (uint32_t d = (uint32_t)ek_param(call, PERM + i - 1) + 1; d < x->rank; d++) {
            a->x_step *= x->dims[d];
        }
        a->y_step = y_step;
        y_step *= a->size;
    }
}

/* Calls one_plane, or copies a row if there is no plane, for every place of the other axes. */
static void all_planes(const axis *axes, uint32_t rank, const plane *p, const int8_t *x,
                       int8_t *y) {
    uint32_t counters[EK_MAX_RANK] = {0};
    for (;;) {
        if (p->lines != 0) {
            one_plane(p, x, y);
        } else {
            ek_copy_bytes(y, x, p->columns);
        }
        uint32_t i = rank;
        for (; i != 0; i--) {
            const axis *a = &axes[i - 1];
            x += a->x_step;
            y += a->y_step;
            counters[i - 1]++;
            if (counters[i - 1] < a->size) {
                break;
            }
            x -= a->x_step * a->size;
            y -= a->y_step * a->size;
            counters[i - 1] = 0;
        }
        if (i == 0) {
            return;
        }
    }
}

void ek_transpose_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    axis axes[EK_MAX_RANK];
    axes_of(call, axes);
    uint32_t rank = x->rank - 1;
    const axis last = axes[rank];
    plane p = {.columns = last.size, .x_step = last.x_step};
    for (uint32_t i = 0; last.x_step != 1 && i < rank; i++) {
        if (axes[i].x_step == 1 && axes[i].size >= 8) {
            p.lines = axes[i].size;
            p.y_step = axes[i].y_step;
            rank--;
            memmove(&axes[i], &axes[i + 1], (rank - i) * sizeof *axes);
        }
    }
    if (last.x_step == 1 || (p.lines != 0 && p.columns >= 8)) {
        all_planes(axes, rank, &p, (const int8_t *)x->data, (int8_t *)call->tensors[1].write);
    } else {
        ek_transpose_portable_s8(call);
    }
}
