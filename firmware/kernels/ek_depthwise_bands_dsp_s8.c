/* DEPTHWISE_CONV_2D 3x3 packed for DSP cores, some rows at a time: x [N, H, W, C], C from
 * 4 up, stream int32 [7 * C] (see ek_rows_dsp.h), y [N, OH, OW, C]. Params: stride (1 or 2),
 * pad_top, pad_left, y_min, y_max, form, band (rows of output at a time). Scratch:
 * ek_planes_scratch. The output may overlap the input by the rows of a band and those that the next
 * one reads again. Twin: edgekit/ops/dsp_planes.py, DEPTHWISE_BANDS_DSP. */
#include "ek_planes_dsp.h"

enum { STRIDE, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, FORM, BAND, PARAMS };

static ek_planes planes_of(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const size_t channels = x->dims[3];
    const ek_planes p = {
        .images = x->dims[0],
        .height = x->dims[1],
        .width = x->dims[2],
        .out_h = y->dims[1],
        .out_w = y->dims[2],
        .channels = x->dims[3],
        .stride = (uint32_t)ek_param(call, STRIDE),
        .pad_top = (uint32_t)ek_param(call, PAD_TOP),
        .pad_left = (uint32_t)ek_param(call, PAD_LEFT),
        .band = (uint32_t)ek_param(call, BAND),
        .x_column = channels,
        .x_row = x->dims[2] * channels,
        .y_column = channels,
        .y_row = y->dims[2] * channels,
        .form = (uint32_t)ek_param(call, FORM),
        .low = ek_param(call, Y_MIN),
        .high = ek_param(call, Y_MAX),
    };
    return p;
}

/* What a band writes, less what it and later ones still read; a line in the number of the band but
 * for the padding and a last band that is cut. */
static uint32_t lead_of(const ek_planes *p) {
    const uint64_t all = (uint64_t)p->out_h * p->y_row;
    const uint32_t bands = (p->out_h - 1) / p->band + 1;
    const uint32_t ends[5] = {0, 1, 2, bands - 2, bands - 1};
    uint64_t lead = 0;
    if (p->images != 1) {
        return p->images * (uint32_t)all;
    }
    for (uint32_t i = 0; i < 5; i++) {
        const uint64_t from = (uint64_t)ends[i] * p->band;
        if (ends[i] >= bands) {
            continue;
        }
        const uint64_t end = from + p->band < p->out_h ? from + p->band : p->out_h;
        const uint64_t written = end * p->y_row;
        const uint64_t first = from * p->stride;
        const uint64_t read = first > p->pad_top ? (first - p->pad_top) * p->x_row : 0;
        lead = written > read && written - read > lead ? written - read : lead;
    }
    return (uint32_t)(lead < all ? lead : all);
}

ek_status ek_depthwise_bands_dsp_s8_check(const ek_call *call, ek_need *need) {
    if (!ek_call_is(call, 2, 1, PARAMS) || !ek_planes_ok(call)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, BAND, 1, 1, (int32_t)call->tensors[2].dims[1])) {
        return EK_ERR_RANGE;
    }
    const ek_planes p = planes_of(call);
    const uint64_t bytes = ek_planes_scratch(&p);
    if (bytes > EK_PLANE_MAX_BYTES) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = (uint32_t)bytes;
    need->lead = lead_of(&p);
    return EK_OK;
}

void ek_depthwise_bands_dsp_s8(const ek_call *call) {
    const ek_planes p = planes_of(call);
    ek_planes_convolve(&p, call);
}
