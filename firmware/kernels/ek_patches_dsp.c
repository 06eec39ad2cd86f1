#include "ek_patches_dsp.h"

#include "ek_limit_dsp.h"

/* What follows from the shape; scratch: expanded patches, filler, four assembled runs, outputs. */
typedef struct layout {
    uint32_t taps;  /* of a run */
    uint32_t runs;  /* of one row of the kernel */
    uint32_t bytes; /* of a run */
    uint32_t words; /* of a run, rounded up */
    uint32_t terms;
    uint32_t pixels;
    int plain;  /* patches are pixels */
    int edges;  /* some runs must be assembled */
    int spills; /* some outputs are copied */
} layout;

/* Runs up to this length are covered at the border, longer ones assembled. */
enum { COVERED_BYTES = 16 };

static int fits(uint32_t outputs, int32_t stride, uint32_t kernel, int32_t dilation, int32_t pad,
                uint32_t size) {
    return pad == 0 &&
           (int64_t)(outputs - 1) * stride + (int64_t)(kernel - 1) * dilation < (int64_t)size;
}

static layout layout_of(const ek_patches *p) {
    const int dilated = p->dilation_w != 1 && p->kernel_w != 1;
    const uint32_t taps = dilated ? 1 : p->kernel_w;
    const uint32_t runs = dilated ? p->kernel_w : 1;
    const uint32_t bytes = taps * p->channels;
    const uint32_t words = (bytes + 3) / 4;
    const uint32_t pixels = p->images * p->out_h * p->out_w;
    const int inside =
        fits(p->out_h, p->stride_h, p->kernel_h, p->dilation_h, p->pad_top, p->height) &&
        fits(p->out_w, p->stride_w, p->kernel_w, p->dilation_w, p->pad_left, p->width);
    const layout l = {
        .taps = taps,
        .runs = runs,
        .bytes = bytes,
        .words = words,
        .terms = p->kernel_h * runs * words * 4,
        .pixels = pixels,
        .plain = inside && p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 &&
                 p->stride_w == 1 && p->out_h == p->height && p->out_w == p->width,
        .edges = !inside || bytes % 4 != 0,
        .spills = pixels % EK_TILE_ROWS != 0 || p->outputs % 2 != 0,
    };
    return l;
}

static uint32_t pairs_of(const ek_patches *p) {
    return (p->outputs + 1) / 2;
}

uint64_t ek_patches_words(const ek_patches *p) {
    return (uint64_t)pairs_of(p) * (EK_PAIR_STARTS + layout_of(p).terms / 2 + EK_PAIR_LANES);
}

uint32_t ek_patches_scratch(const ek_patches *p) {
    const layout l = layout_of(p);
    uint32_t bytes = 2 * EK_TILE_ROWS * l.terms;
    bytes += l.edges ? (EK_TILE_ROWS + 1) * 4 * l.words : 0;
    bytes += l.spills ? EK_TILE_ROWS * 2 * pairs_of(p) : 0;
    return bytes;
}

uint32_t ek_patches_lead(const ek_patches *p) {
    const layout l = layout_of(p);
    const int64_t all = (int64_t)l.pixels * p->outputs;
    int64_t lead = 0;
    if (l.plain) {
        const int64_t before = (l.pixels - 1) / EK_TILE_ROWS * EK_TILE_ROWS;
        lead = before * ((int64_t)p->outputs - p->channels);
    } else if (p->images != 1) {
        lead = all;
    } else {
        /* Linear in the output row as long as the padding lasts, and behind it. */
        const int64_t last = (int64_t)p->out_h - 1;
        const int64_t padded = p->pad_top / p->stride_h;
        const int64_t rows[2] = {padded < last ? padded : last, last};
        for (uint32_t i = 0; i < 2; i++) {
            const int64_t first = rows[i] * p->stride_h - p->pad_top;
            const int64_t read = first < 0 ? 0 : first * p->width * p->channels;
            const int64_t written = (rows[i] + 1) * p->out_w * p->outputs;
            lead = written - read > lead ? written - read : lead;
        }
    }
    lead = lead < 0 ? 0 : lead;
    return (uint32_t)(lead < all ? lead : all);
}

/* Where the patch of an output pixel begins; outside the image where it is padded. */
typedef struct pixel {
    int32_t row;
    int32_t column;
    uint32_t at; /* bytes from the start of x; wraps outside */
} pixel;

typedef struct walk {
    const ek_patches *p;
    layout l;
    const int8_t *x;
    int32_t last; /* where a run may begin at most, to be read in words */
    uint32_t filler;
    int16_t *expanded;
    int8_t *edge; /* a run of filler, then one per row of the tile */
    uint32_t oy;
    uint32_t ox;
    uint32_t image;
    pixel next;
} walk;

/* Begins a row of output. */
static void start_line(walk *v) {
    const ek_patches *p = v->p;
    v->next.row = (int32_t)v->oy * p->stride_h - p->pad_top;
    v->next.column = -p->pad_left;
    const uint32_t line = v->image * p->height + (uint32_t)v->next.row;
    v->next.at = (line * p->width - (uint32_t)p->pad_left) * p->channels;
}

static pixel next_pixel(walk *v) {
    const ek_patches *p = v->p;
    const pixel found = v->next;
    v->next.column += p->stride_w;
    v->next.at += (uint32_t)p->stride_w * p->channels;
    v->ox++;
    if (v->ox == p->out_w) {
        v->ox = 0;
        v->oy++;
        if (v->oy == p->out_h) {
            v->oy = 0;
            v->image++;
        }
        start_line(v);
    }
    return found;
}

/* Puts a run together that crosses the border or the end of x. */
static void assemble(const walk *v, int32_t column, uint32_t at, int8_t *to) {
    const int32_t taps = (int32_t)v->l.taps;
    const int32_t width = (int32_t)v->p->width;
    const int32_t channels = (int32_t)v->p->channels;
    int32_t left = column < 0 ? -column : 0;
    left = left > taps ? taps : left;
    int32_t inside = (column + taps > width ? width - column : taps) - left;
    inside = inside < 0 ? 0 : inside;
    ek_fill_bytes(to, v->filler, (size_t)(left * channels));
    to += left * channels;
    if (inside != 0) {
        ek_copy_bytes(to, v->x + (at + (uint32_t)(left * channels)), (size_t)(inside * channels));
        to += inside * channels;
    }
    ek_fill_bytes(to, v->filler, (size_t)((taps - left - inside) * channels));
}

/* True if a whole patch can be read in words. */
static int is_inside(const walk *v, const pixel *from) {
    const ek_patches *p = v->p;
    const int32_t height = (int32_t)p->height - ((int32_t)p->kernel_h - 1) * p->dilation_h;
    const int32_t width = (int32_t)p->width - ((int32_t)p->kernel_w - 1) * p->dilation_w;
    const uint32_t down = (p->kernel_h - 1) * (uint32_t)p->dilation_h * p->width;
    const uint32_t right = (v->l.runs - 1) * (uint32_t)p->dilation_w;
    return from->row >= 0 && from->row < height && from->column >= 0 && from->column < width &&
           (int32_t)(from->at + (down + right) * p->channels) <= v->last;
}

/* Puts filler over values [begin, end) of an expanded run. */
static void cover_values(const walk *v, uint32_t begin, uint32_t end, int16_t *to) {
    for (uint32_t i = begin; i < end; i++) {
        to[(i & ~3u) * 4 + (i & 1) * 8 + (i >> 1 & 1)] = (int8_t)v->filler;
    }
}

/* Puts filler over the values of an expanded run that lie beside the image. */
static void cover(const walk *v, int32_t column, int16_t *to) {
    const ek_patches *p = v->p;
    const uint32_t bytes = v->l.bytes;
    if (column < 0) {
        const uint32_t left = (uint32_t)-column * p->channels;
        cover_values(v, 0, left < bytes ? left : bytes, to);
    }
    const int32_t right = (int32_t)p->width - column;
    if (right < (int32_t)v->l.taps) {
        cover_values(v, right < 0 ? 0 : (uint32_t)right * p->channels, bytes, to);
    }
}

/* One run of four patches. */
static int16_t *expand_run(const walk *v, const pixel pixels[EK_TILE_ROWS], uint32_t run,
                           int16_t *to) {
    const ek_patches *p = v->p;
    const int32_t widest = (int32_t)p->width - (int32_t)v->l.taps;
    const int32_t beside = (int32_t)run * p->dilation_w;
    const uint32_t offset = (uint32_t)beside * p->channels;
    const int8_t *rows[EK_TILE_ROWS];
    uint32_t covered = 0;
    int8_t *edge = v->edge;
    for (uint32_t i = 0; i < EK_TILE_ROWS; i++) {
        const pixel *from = &pixels[i];
        const int32_t column = from->column + beside;
        const uint32_t at = from->at + offset;
        edge += 4 * (size_t)v->l.words;
        rows[i] = v->x + at;
        if ((uint32_t)from->row >= p->height) {
            rows[i] = v->edge;
        } else if ((int32_t)at < 0 || (int32_t)at > v->last) {
            assemble(v, column, at, edge);
            rows[i] = edge;
        } else if (column < 0 || column > widest) {
            /* What is read beside the image is of no account where it is covered again. */
            if (v->l.bytes <= COVERED_BYTES) {
                covered |= 1u << i;
            } else {
                assemble(v, column, at, edge);
                rows[i] = edge;
            }
        }
    }
    int16_t *end = ek_expand_dsp(rows, v->l.words, to, 1, 0);
    for (uint32_t i = 0; covered != 0; i++) {
        if ((covered & 1u) != 0) {
            cover(v, pixels[i].column + beside, to + 2 * (size_t)i);
        }
        covered >>= 1;
    }
    return end;
}

/* Expands the patches of four pixels. */
static void expand_patches(const walk *v, pixel pixels[EK_TILE_ROWS]) {
    const ek_patches *p = v->p;
    const uint32_t line = (uint32_t)p->dilation_h * p->width * p->channels;
    int16_t *to = v->expanded;
    if (v->l.runs == 1 && is_inside(v, &pixels[0]) && is_inside(v, &pixels[1]) &&
        is_inside(v, &pixels[2]) && is_inside(v, &pixels[3])) {
        const int8_t *rows[EK_TILE_ROWS];
        for (uint32_t i = 0; i < EK_TILE_ROWS; i++) {
            rows[i] = v->x + pixels[i].at;
        }
        ek_expand_dsp(rows, v->l.words, to, p->kernel_h, line);
        return;
    }
    for (uint32_t ky = p->kernel_h; ky != 0; ky--) {
        for (uint32_t run = 0; run < v->l.runs; run++) {
            to = expand_run(v, pixels, run, to);
        }
        for (uint32_t i = 0; i < EK_TILE_ROWS; i++) {
            pixels[i].row += p->dilation_h;
            pixels[i].at += line;
        }
    }
}

/* Expands four pixels that are patches; the last is taken again where there are no four. */
static void expand_pixels(const walk *v, uint32_t first) {
    const int8_t *rows[EK_TILE_ROWS];
    int8_t *edge = v->edge;
    for (uint32_t i = 0; i < EK_TILE_ROWS; i++) {
        const uint32_t found = first + i < v->l.pixels ? first + i : v->l.pixels - 1;
        const int32_t at = (int32_t)(found * v->p->channels);
        rows[i] = v->x + at;
        if (at > v->last) {
            edge += 4 * (size_t)v->l.words;
            ek_copy_bytes(edge, v->x + at, v->l.bytes);
            rows[i] = edge;
        }
    }
    ek_expand_dsp(rows, v->l.words, v->expanded, 1, 0);
}

static void expand(walk *v, uint32_t first) {
    if (v->l.plain) {
        expand_pixels(v, first);
        return;
    }
    pixel pixels[EK_TILE_ROWS];
    for (uint32_t i = 0; i < EK_TILE_ROWS; i++) {
        pixels[i] = first + i < v->l.pixels ? next_pixel(v) : pixels[i - 1];
    }
    expand_patches(v, pixels);
}

void ek_patches_multiply(const ek_patches *p, const ek_tensor *x, const uint8_t *stream,
                         ek_patches_end end, int8_t *y, uint8_t *scratch) {
    walk v = {
        .p = p,
        .l = layout_of(p),
        .x = (const int8_t *)x->data,
        .filler = 0x01010101u * (uint8_t)x->zero_point,
        .expanded = (int16_t *)(void *)scratch,
    };
    const layout *l = &v.l;
    start_line(&v);
    const size_t run = 4 * (size_t)l->words;
    v.last = (int32_t)x->count - (int32_t)run;
    v.edge = (int8_t *)scratch + 2 * EK_TILE_ROWS * (size_t)l->terms;
    int8_t *spill = v.edge + (l->edges ? (EK_TILE_ROWS + 1) * run : 0);
    if (l->edges) {
        /* What follows a run in its last word is multiplied by zero. */
        ek_fill_bytes(v.edge, v.filler, (EK_TILE_ROWS + 1) * run);
    }
    ek_dsp_tile tile = {
        .x = v.expanded,
        .stream = stream,
        .pitch = 2 * pairs_of(p),
        .pairs = pairs_of(p),
        .terms = l->terms,
        .form = end.form,
    };
    const size_t n = p->outputs;
    const int limited = end.low > -128 || end.high < 127;
    for (uint32_t first = 0; first < l->pixels; first += EK_TILE_ROWS) {
        const uint32_t left = l->pixels - first;
        const uint32_t count = left < EK_TILE_ROWS ? left : EK_TILE_ROWS;
        const int spills = count < EK_TILE_ROWS || n % 2 != 0;
        expand(&v, first);
        tile.y = spills ? spill : y;
        ek_tile_dsp(&tile);
        if (spills) {
            for (uint32_t i = 0; i < count; i++) {
                ek_copy_bytes(y + i * n, spill + (size_t)i * tile.pitch, n);
            }
        }
        if (limited) {
            ek_limit_dsp(y, count * n, end.low, end.high);
        }
        y += count * n;
    }
}
