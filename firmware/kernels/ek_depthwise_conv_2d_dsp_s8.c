/* DEPTHWISE_CONV_2D 3x3 packed for DSP cores, whole planes at a time: x and y [N, H, W, C], C from
 * 4 up, stream int32 [7 * C] (see ek_rows_dsp.h). Params: stride (1), pad_top, pad_left,
 * y_min, y_max, form, across (1: the rows of planes run along columns; taps are transposed).
 * Scratch: ek_planes_scratch. Works in place: a channel is gathered before it is written.
 * Twin: edgekit/ops/dsp_planes.py, DEPTHWISE_CONV_2D_DSP. */
#include "ek_planes_dsp.h"

enum { STRIDE, PAD_TOP, PAD_LEFT, Y_MIN, Y_MAX, FORM, ACROSS, PARAMS };

static ek_planes planes_of(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const size_t channels = x->dims[3];
    const size_t line = x->dims[2] * channels;
    const uint32_t across = (uint32_t)ek_param(call, ACROSS);
    const uint32_t height = x->dims[across ? 2 : 1];
    const uint32_t width = x->dims[across ? 1 : 2];
    const ek_planes p = {
        .images = x->dims[0],
        .height = height,
        .width = width,
        .out_h = height,
        .out_w = width,
        .channels = x->dims[3],
        .stride = 1,
        .pad_top = (uint32_t)ek_param(call, across ? PAD_LEFT : PAD_TOP),
        .pad_left = (uint32_t)ek_param(call, across ? PAD_TOP : PAD_LEFT),
        .band = height,
        .x_column = across ? line : channels,
        .x_row = across ? channels : line,
        .y_column = across ? line : channels,
        .y_row = across ? channels : line,
        .form = (uint32_t)ek_param(call, FORM),
        .low = ek_param(call, Y_MIN),
        .high = ek_param(call, Y_MAX),
    };
    return p;
}

ek_status ek_depthwise_conv_2d_dsp_s8_check(const ek_call *call, ek_need *need) {
    if (!ek_call_is(call, 2, 1, PARAMS) || !ek_planes_ok(call) ||
        !ek_same_dims(&call->tensors[0], &call->tensors[2])) {
        return EK_ERR_SHAPE;
    }
    if (ek_param(call, STRIDE) != 1 || !ek_params_in(call, ACROSS, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const ek_planes p = planes_of(call);
    const uint64_t bytes = ek_planes_scratch(&p);
    if (bytes > EK_PLANE_MAX_BYTES) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = (uint32_t)bytes;
    return EK_OK;
}

void ek_depthwise_conv_2d_dsp_s8(const ek_call *call) {
    const ek_planes p = planes_of(call);
    ek_planes_convolve(&p, call);
}
