/* CONV_2D packed for DSP cores: x [N, H, W, C], stream int32 [words] (see ek_tile_dsp.h),
 * y [N, OH, OW, M]. Params: kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w,
 * pad_top, pad_left, y_min, y_max, form. Scratch: ek_patches_scratch. The output may overlap the
 * input by ek_patches_lead. Twin: edgekit/ops/dsp.py, CONV_2D_DSP. */
#include "ek_patches_dsp.h"

enum {
    KERNEL_H,
    KERNEL_W,
    STRIDE_H,
    STRIDE_W,
    DILATION_H,
    DILATION_W,
    PAD_TOP,
    PAD_LEFT,
    Y_MIN,
    Y_MAX,
    FORM,
    PARAMS
};

static ek_patches patches_of(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    const ek_patches p = {
        .images = x->dims[0],
        .height = x->dims[1],
        .width = x->dims[2],
        .channels = x->dims[3],
        .kernel_h = (uint32_t)ek_param(call, KERNEL_H),
        .kernel_w = (uint32_t)ek_param(call, KERNEL_W),
        .stride_h = ek_param(call, STRIDE_H),
        .stride_w = ek_param(call, STRIDE_W),
        .dilation_h = ek_param(call, DILATION_H),
        .dilation_w = ek_param(call, DILATION_W),
        .pad_top = ek_param(call, PAD_TOP),
        .pad_left = ek_param(call, PAD_LEFT),
        .out_h = y->dims[1],
        .out_w = y->dims[2],
        .outputs = y->dims[3],
    };
    return p;
}

ek_status ek_conv_2d_dsp_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *stream = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || stream->type != EK_S32 || stream->constant == 0) {
        return EK_ERR_SHAPE;
    }
    if (x->rank != 4 || y->rank != 4 || y->dims[0] != x->dims[0] || x->count > EK_MAX_INDEX ||
        y->count > EK_MAX_INDEX || x->dims[3] > EK_MAX_TERMS) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, KERNEL_H, 6, 1, 4096) || !ek_params_in(call, PAD_TOP, 2, 0, 65536) ||
        !ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, FORM, 1, 0, EK_FORMS - 1)) {
        return EK_ERR_RANGE;
    }
    const ek_patches p = patches_of(call);
    if ((uint64_t)p.kernel_h * p.kernel_w * p.channels > EK_MAX_TERMS ||
        !ek_window_ok(call, y, p.kernel_h, p.kernel_w, STRIDE_H, PAD_TOP)) {
        return EK_ERR_RANGE;
    }
    if (stream->count != ek_patches_words(&p)) {
        return EK_ERR_SHAPE;
    }
    need->scratch_bytes = ek_patches_scratch(&p);
    need->lead = ek_patches_lead(&p);
    return EK_OK;
}

void ek_conv_2d_dsp_s8(const ek_call *call) {
    const ek_patches p = patches_of(call);
    const ek_patches_end end = {(uint32_t)ek_param(call, FORM), ek_param(call, Y_MIN),
                                ek_param(call, Y_MAX)};
    ek_patches_multiply(&p, &call->tensors[0], call->tensors[1].data, end,
                        (int8_t *)call->tensors[2].write, call->scratch);
}
