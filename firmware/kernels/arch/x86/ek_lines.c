#include "ek_lines.h"

#include "ek_dot_s16.h"
#include "ek_window_s8.h"

enum {
    USUAL = 24 << 10, /* elements at a time: most of the first cache */
    MOST = 2 << 20,   /* for one row */
    SPARE = 32
};

/* Takes as many rows as usual, at least one. */
static int choose_rows(ek_lines *l) {
    if (l->reach > MOST / l->line) {
        return 0;
    }
    l->most = 1;
    if (l->reach * l->line < USUAL) {
        l->most += (USUAL / l->line - l->reach) / l->step_h;
    }
    l->most = l->most < l->rows ? l->most : l->rows;
    return 1;
}

int ek_lines_of(const ek_call *call, ek_lines *lines) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const size_t channels = x->dims[3];
    const size_t width = (size_t)(y->dims[2] - 1) * (size_t)ek_param(call, STRIDE_W) +
                         (size_t)(w->dims[2] - 1) * (size_t)ek_param(call, DILATION_W) + 1;
    const size_t pad = (size_t)ek_param(call, PAD_LEFT);
    const size_t left = pad < width ? pad : width;
    const size_t inside = width - left < x->dims[2] ? width - left : x->dims[2];
    if (width > MOST / channels) {
        return 0;
    }
    *lines = (ek_lines){
        .height = x->dims[1],
        .stored = x->dims[2] * channels,
        .left = left * channels,
        .inside = inside * channels,
        .line = width * channels,
        .channels = channels,
        .rows = y->dims[1],
        .columns = y->dims[2],
        .step_h = (size_t)ek_param(call, STRIDE_H),
        .step_w = (size_t)ek_param(call, STRIDE_W) * channels,
        .reach = (size_t)(w->dims[1] - 1) * (size_t)ek_param(call, DILATION_H) + 1,
        .top = ek_param(call, PAD_TOP),
        .filler = x->zero_point,
    };
    return choose_rows(lines);
}

int ek_lines_of_rows(size_t rows, size_t terms, ek_lines *lines) {
    *lines = (ek_lines){
        .height = rows,
        .stored = terms,
        .inside = terms,
        .line = terms,
        .channels = terms,
        .rows = rows,
        .columns = 1,
        .step_h = 1,
        .step_w = terms,
        .reach = 1,
    };
    return choose_rows(lines);
}

size_t ek_lines_size(const ek_lines *lines) {
    return ((lines->most - 1) * lines->step_h + lines->reach) * lines->line + SPARE;
}

static void fill(int16_t *to, int32_t filler, size_t count) {
    for (size_t i = 0; i < count; i++) {
        to[i] = (int16_t)filler;
    }
}

void ek_lines_fill(const ek_lines *l, const int8_t *image, size_t row, size_t count, int16_t *to) {
    const int64_t first = (int64_t)(row * l->step_h) - l->top;
    const int64_t end = first + (int64_t)((count - 1) * l->step_h + l->reach);
    const int64_t height = (int64_t)l->height;
    const int64_t begin = first < 0 ? (end < 0 ? end : 0) : first;
    const int64_t stop = end > height ? (first > height ? first : height) : end;
    const size_t right = l->line - l->left - l->inside;
    fill(to, l->filler, (size_t)(begin - first) * l->line);
    to += (size_t)(begin - first) * l->line;
    if (l->line == l->stored && l->inside == l->stored && begin < stop) {
        ek_dot_widen(image + (size_t)begin * l->stored, (size_t)(stop - begin) * l->line, 0, to);
    } else {
        for (int64_t y = begin; y < stop; y++) {
            int16_t *line = to + (size_t)(y - begin) * l->line;
            fill(line, l->filler, l->left);
            ek_dot_widen(image + (size_t)y * l->stored, l->inside, 0, line + l->left);
            fill(line + l->left + l->inside, l->filler, right);
        }
    }
    fill(to + (size_t)(stop - begin) * l->line, l->filler, (size_t)(end - stop) * l->line);
}
