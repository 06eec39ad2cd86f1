/* FULLY_CONNECTED packed for DSP cores: x [.., K] seen as [rows, K], stream int32 [words], y [rows,
 * M]. Params: terms (K), lanes (1: per column, 0: one for all), y_min, y_max, form. With 4 rows or
 * more the stream is that of ek_tile_dsp.h, and scratch and overlap are those of ek_patches_dsp.h.
 * With fewer it is that of ek_dense_dsp.h, all lanes behind all groups; scratch: K rounded up to a
 * multiple of 4, if it is none. Twin: edgekit/ops/dsp.py, FULLY_CONNECTED_DSP. */
#include "ek_dense_dsp.h"
#include "ek_limit_dsp.h"
#include "ek_patches_dsp.h"

/* 0: no layer has so many rows that they are multiplied four at a time. */
#ifndef EK_DENSE_DSP_ROWS
#define EK_DENSE_DSP_ROWS 1
#endif

enum { TERMS, LANES, Y_MIN, Y_MAX, FORM, PARAMS };

static ek_patches patches_of(const ek_call *call, uint32_t rows) {
    const ek_patches p = {
        .images = 1,
        .height = 1,
        .width = rows,
        .channels = (uint32_t)ek_param(call, TERMS),
        .kernel_h = 1,
        .kernel_w = 1,
        .stride_h = 1,
        .stride_w = 1,
        .dilation_h = 1,
        .dilation_w = 1,
        .out_h = 1,
        .out_w = rows,
        .outputs = call->tensors[2].count / rows,
    };
    return p;
}

static uint32_t groups_of(uint32_t columns) {
    return (columns + EK_DENSE_GROUP - 1) / EK_DENSE_GROUP;
}

ek_status ek_fully_connected_dsp_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *stream = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || stream->type != EK_S32 || stream->constant == 0 ||
        x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, TERMS, 1, 1, (int32_t)EK_MAX_TERMS) ||
        !ek_params_in(call, LANES, 1, 0, 1) || !ek_clamp_ok(call, Y_MIN) ||
        !ek_params_in(call, FORM, 1, 0, EK_FORMS - 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t terms = (uint32_t)ek_param(call, TERMS);
    const uint32_t rows = x->count / terms;
    if (x->count % terms != 0 || y->count % rows != 0) {
        return EK_ERR_SHAPE;
    }
    if (rows >= EK_TILE_ROWS) {
        const ek_patches p = patches_of(call, rows);
        need->scratch_bytes = ek_patches_scratch(&p);
        need->lead = ek_patches_lead(&p);
        return stream->count == ek_patches_words(&p) ? EK_OK : EK_ERR_SHAPE;
    }
    const uint64_t groups = groups_of(y->count / rows);
    const uint64_t words = (terms + 3) / 4;
    const uint64_t lanes = (ek_param(call, LANES) ? groups : 1) * EK_DENSE_LANES;
    if (stream->count != groups * EK_DENSE_GROUP * (1 + words) + lanes) {
        return EK_ERR_SHAPE;
    }
    need->scratch_bytes = terms % 4 != 0 ? 4 * (uint32_t)words : 0;
    return ek_param(call, FORM) == EK_FORM_FLOOR ? EK_ERR_RANGE : EK_OK;
}

/* One row; whole groups go where they belong, of the last one what there is. */
static void multiply_row(ek_dsp_dense *dense, uint32_t columns, int8_t *y) {
    const uint32_t whole = columns / EK_DENSE_GROUP;
    const uint32_t rest = columns % EK_DENSE_GROUP;
    const uint8_t *stream = dense->stream;
    const uint8_t *lanes = dense->lanes;
    if (whole != 0) {
        dense->groups = whole;
        dense->y = y;
        ek_dense_dsp(dense);
    }
    if (rest != 0) {
        int8_t last[EK_DENSE_GROUP];
        dense->stream += (size_t)whole * 4 * EK_DENSE_GROUP * (1 + dense->words);
        dense->lanes += (size_t)whole * dense->lanes_step;
        dense->groups = 1;
        dense->y = last;
        ek_dense_dsp(dense);
        ek_copy_bytes(y + (size_t)whole * EK_DENSE_GROUP, last, rest);
    }
    dense->stream = stream;
    dense->lanes = lanes;
}

void ek_fully_connected_dsp_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const uint8_t *stream = call->tensors[1].data;
    const uint32_t terms = (uint32_t)ek_param(call, TERMS);
    const uint32_t rows = x->count / terms;
    const uint32_t columns = y->count / rows;
    const ek_patches_end end = {(uint32_t)ek_param(call, FORM), ek_param(call, Y_MIN),
                                ek_param(call, Y_MAX)};
    if (EK_DENSE_DSP_ROWS && rows >= EK_TILE_ROWS) {
        const ek_patches p = patches_of(call, rows);
        ek_patches_multiply(&p, x, stream, end, (int8_t *)y->write, call->scratch);
        return;
    }
    const uint32_t words = (terms + 3) / 4;
    ek_dsp_dense dense = {
        .stream = stream,
        .lanes = stream + (size_t)groups_of(columns) * 4 * EK_DENSE_GROUP * (1 + words),
        .lanes_step = ek_param(call, LANES) ? 4 * EK_DENSE_LANES : 0,
        .words = words,
        .form = end.form,
    };
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)y->write;
    for (uint32_t row = 0; row < rows; row++) {
        dense.x = from;
        if (terms % 4 != 0) {
            int8_t *whole = (int8_t *)call->scratch;
            ek_copy_bytes(whole, from, terms);
            ek_fill_bytes(whole + terms, 0, 4 * (size_t)words - terms);
            dense.x = whole;
        }
        multiply_row(&dense, columns, to);
        from += terms;
        to += columns;
    }
    if (end.low > -128 || end.high < 127) {
        ek_limit_dsp((int8_t *)y->write, y->count, end.low, end.high);
    }
}
