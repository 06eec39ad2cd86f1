#include "ek_planes_dsp.h"

#include "ek_limit_dsp.h"
#include "ek_tile_dsp.h"

/* Twin: edgekit/ops/dsp_planes.py, PARAMS. */
enum { STRIDE, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, FORM };

int ek_planes_ok(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *stream = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    return stream->type == EK_S32 && stream->constant != 0 && x->rank == 4 && y->rank == 4 &&
           x->dims[0] == y->dims[0] && x->dims[3] == y->dims[3] && x->dims[3] >= EK_PLANES &&
           x->count <= EK_MAX_INDEX && y->count <= EK_MAX_INDEX &&
           stream->count == x->dims[3] * EK_PLANE_WORDS && ek_params_in(call, STRIDE, 1, 1, 2) &&
           ek_params_in(call, PAD_TOP, 2, 0, EK_PLANE_TAPS - 1) && ek_clamp_ok(call, Y_MIN) &&
           ek_params_in(call, FORM, 1, EK_FORM_FLOOR, EK_FORM_DOUBLE);
}

/* Rows of a plane under `rows` rows of output. */
static uint32_t rows_under(const ek_planes *p, uint32_t rows) {
    return (rows - 1) * p->stride + EK_PLANE_TAPS;
}

/* Elements of a row of a plane, even: what is gathered and what is read, two at a time. */
static uint32_t pitch_of(const ek_planes *p) {
    const uint32_t gathered = p->pad_left + p->width;
    const uint32_t read = (p->out_w - 1) * p->stride + EK_PLANE_TAPS;
    return ((gathered > read ? gathered : read) + 1u) & ~1u;
}

uint64_t ek_planes_scratch(const ek_planes *p) {
    return (uint64_t)EK_PLANES * sizeof(int16_t) * rows_under(p, p->band) * pitch_of(p);
}

/* Fills rows [first, end) of all planes with the zero point. */
static void fill_rows(int16_t *planes, size_t plane, uint32_t pitch, uint32_t first, uint32_t end,
                      int16_t zero) {
    for (uint32_t i = 0; i < EK_PLANES; i++) {
        int16_t *p = planes + (size_t)first * pitch;
        for (size_t count = (size_t)(end - first) * pitch; count != 0; count--) {
            *p++ = zero;
        }
        planes += plane;
    }
}

static uint32_t clip(int32_t value, uint32_t high) {
    return value < 0 ? 0 : (uint32_t)value < high ? (uint32_t)value : high;
}

/* Output rows [from, from + rows) of one image. */
static void one_band(const ek_planes *p, const ek_call *call, const int8_t *image, uint32_t from,
                     uint32_t rows, int8_t *y) {
    int16_t *planes = (int16_t *)(void *)call->scratch;
    const uint32_t pitch = pitch_of(p);
    const size_t plane = (size_t)rows_under(p, p->band) * pitch;
    const uint32_t under = rows_under(p, rows);
    const int32_t first = (int32_t)(from * p->stride) - (int32_t)p->pad_top;
    const uint32_t begin = clip(-first, under);
    const uint32_t end = clip((int32_t)p->height - first, under);
    const int16_t zero = (int16_t)call->tensors[0].zero_point;
    fill_rows(planes, plane, pitch, 0, begin, zero);
    fill_rows(planes, plane, pitch, end, under, zero);
    ek_dsp_gather gather = {
        .column = p->x_column,
        .row = p->x_row,
        .width = p->width,
        .rows = end > begin ? end - begin : 0,
        .to = planes + (size_t)begin * pitch + p->pad_left,
        .pitch = 2 * (size_t)pitch,
        .plane = 2 * plane,
    };
    ek_dsp_rows out = {
        .stream = call->tensors[1].data,
        .column = p->y_column,
        .row = p->y_row,
        .width = p->out_w,
        .rows = rows,
        .pitch = gather.pitch,
        .kind = 2 * (p->stride - 1) + p->form,
    };
    for (uint32_t c = 0; c < p->channels; c += EK_PLANES) {
        /* The last four may begin with channels that are done; theirs may be written over by now.
         */
        const uint32_t from_channel = c + EK_PLANES <= p->channels ? c : p->channels - EK_PLANES;
        const uint32_t done = c - from_channel;
        if (gather.rows != 0) {
            gather.x = image + (size_t)(first + (int32_t)begin) * p->x_row + from_channel;
            ek_gather_planes_dsp(&gather);
        }
        out.plane = planes + done * plane;
        out.y = y + c;
        for (uint32_t i = done; i < EK_PLANES; i++) {
            ek_convolve_rows_dsp(&out);
            out.plane += plane;
            out.y++;
            out.stream += 4 * EK_PLANE_WORDS;
        }
    }
}

void ek_planes_convolve(const ek_planes *p, const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const size_t x_size = x->count / p->images;
    const size_t y_size = y->count / p->images;
    const size_t plane = (size_t)rows_under(p, p->band) * pitch_of(p);
    fill_rows((int16_t *)(void *)call->scratch, plane, pitch_of(p), 0, rows_under(p, p->band),
              (int16_t)x->zero_point);
    for (uint32_t image = 0; image < p->images; image++) {
        const int8_t *from = (const int8_t *)x->data + x_size * image;
        int8_t *to = (int8_t *)y->write + y_size * image;
        for (uint32_t row = 0; row < p->out_h; row += p->band) {
            const uint32_t left = p->out_h - row;
            one_band(p, call, from, row, left < p->band ? left : p->band, to + row * p->y_row);
        }
    }
    if (p->low > -128 || p->high < 127) {
        ek_limit_dsp((int8_t *)y->write, y->count, p->low, p->high);
    }
}
