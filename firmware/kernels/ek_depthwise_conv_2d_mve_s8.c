/* DEPTHWISE_CONV_2D with 3x3 taps, C a multiple of 4, weights packed for cores with MVE: x [N, H,
 * W, C], w int8 [C / 4, 112] (ek_columns_mve.h), y [N, OH, OW, C]. Params: stride_h, stride_w,
 * pad_top, pad_left, y_min, y_max. Scratch: 16 zero points, then the columns under one output row.
 * Twin: edgekit/ops/mve_depthwise.py, DEPTHWISE_CONV_2D_MVE. */
#include "ek_columns_mve.h"
#include "ek_lead.h"

enum { STRIDE_H, STRIDE_W, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, PARAMS };

enum { TAPS = 3, MAX_PAD = 2 };

/* Columns under an output row: the fourth of the last pixel counts too. */
static uint32_t columns_of(const ek_call *call) {
    return (call->tensors[2].dims[2] - 1) * (uint32_t)ek_param(call, STRIDE_W) + TAPS + 1;
}

ek_status ek_depthwise_conv_2d_mve_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || x->rank != 4 || y->rank != 4 ||
        y->dims[0] != x->dims[0] || y->dims[3] != x->dims[3] || x->dims[3] % EK_MVE_CHANNELS != 0 ||
        x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, STRIDE_H, 2, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, MAX_PAD) ||
        !ek_clamp_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const int64_t reach = (int64_t)y->dims[1 + i] * ek_param(call, STRIDE_H + i);
        if (reach > INT32_MAX / EK_COLUMN_BYTES / 2) {
            return EK_ERR_RANGE;
        }
    }
    if (!ek_mve_records_ok(&call->tensors[1], x->dims[3] / EK_MVE_CHANNELS,
                           ek_mve_record_bytes(1))) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = EK_COLUMN_CHANNELS + EK_COLUMN_BYTES * columns_of(call);
    need->lead = ek_window_lead(call, x, y, STRIDE_H, PAD_TOP);
    return EK_OK;
}

void ek_depthwise_conv_2d_mve_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const uint32_t pad = (uint32_t)ek_param(call, PAD_LEFT);
    const uint32_t columns = columns_of(call);
    const int32_t low = ek_param(call, Y_MIN);
    /* Negative values end at the zero point or below: how their ties are rounded does not count. */
    const ek_columns_mve_fn fn = low >= y->zero_point ? ek_columns_double_mve : ek_columns_away_mve;
    int8_t *outside = (int8_t *)call->scratch;
    int8_t *first = outside + EK_COLUMN_CHANNELS;
    const int8_t *image = (const int8_t *)x->data;
    ek_columns_mve t = {
        .columns = first + (size_t)pad * EK_COLUMN_BYTES,
        .count = columns - pad < x->dims[2] ? columns - pad : x->dims[2],
        .first = first,
        .stride = EK_COLUMN_BYTES * (size_t)ek_param(call, STRIDE_W),
        .y = (int8_t *)y->write,
        .y_step = channels,
        .pixels = y->dims[2],
        .zero_point = y->zero_point,
        .low = low,
        .high = ek_param(call, Y_MAX),
    };
    ek_fill_mve(outside, x->zero_point, EK_COLUMN_CHANNELS + (size_t)columns * EK_COLUMN_BYTES);
    for (uint32_t batch = 0; batch < x->dims[0]; batch++) {
        int32_t iy = -ek_param(call, PAD_TOP);
        for (uint32_t oy = 0; oy < y->dims[1]; oy++) {
            t.w = call->tensors[1].data;
            for (size_t i = 0; i < TAPS; i++) {
                const int32_t row = iy + (int32_t)i;
                const int inside = row >= 0 && row < (int32_t)x->dims[1];
                t.rows[i] = inside ? image + (size_t)row * line : outside;
                t.row_steps[i] = inside ? channels : 0;
            }
            for (size_t left = channels; left != 0; left -= t.channels) {
                t.channels = left < EK_COLUMN_CHANNELS ? (uint32_t)left : EK_COLUMN_CHANNELS;
                fn(&t);
                for (size_t i = 0; i < TAPS; i++) {
                    t.rows[i] += t.row_steps[i] != 0 ? t.channels : 0;
                }
                t.w += t.channels / EK_MVE_CHANNELS * ek_mve_record_bytes(1);
                t.y += t.channels;
            }
            t.y += (size_t)(y->dims[2] - 1) * channels;
            iy += ek_param(call, STRIDE_H);
        }
        image += line * x->dims[1];
    }
}
