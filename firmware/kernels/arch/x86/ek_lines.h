/* The lines of an image that windows of CONV_2D and DEPTHWISE_CONV_2D reach over, some rows of
 * output at a time: as int16, with the padding. */
#ifndef EK_LINES_H
#define EK_LINES_H

#include "ek_kernel.h"

/* All counts of lines and rows are of one image, all others in elements. */
typedef struct ek_lines {
    size_t height;
    size_t stored; /* from a line of the image to the next */
    size_t left;   /* padding */
    size_t inside; /* of the image, in a line */
    size_t line;   /* with padding on both sides */
    size_t channels;
    size_t rows;    /* of output */
    size_t columns; /* of output */
    size_t step_h;  /* lines from a row of output to the next */
    size_t step_w;  /* from a column of output to the next */
    size_t reach;   /* lines under one row */
    size_t most;    /* rows at a time */
    int32_t top;    /* lines of padding */
    int32_t filler; /* of the padding */
} ek_lines;

/* False if not even one row fits. */
int ek_lines_of(const ek_call *call, ek_lines *lines);

/* For rows of x that are multiplied as they are, `terms` each. False as above. */
int ek_lines_of_rows(size_t rows, size_t terms, ek_lines *lines);

/* Elements that ek_lines_fill writes at most, some to spare. */
size_t ek_lines_size(const ek_lines *lines);

/* Rows that are left after `row`, but not more than fit at a time. */
static inline size_t ek_lines_count(const ek_lines *lines, size_t row) {
    return lines->rows - row < lines->most ? lines->rows - row : lines->most;
}

/* The lines under rows [row, row + count). Needs AVX2. */
void ek_lines_fill(const ek_lines *lines, const int8_t *image, size_t row, size_t count,
                   int16_t *to);

#endif
