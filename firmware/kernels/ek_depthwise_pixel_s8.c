#include "ek_depthwise_pixel_s8.h"

ek_pixel_fn ek_depthwise_pixel_s8(const ek_call *call) {
    return call->tensors[1].dims[3] == call->tensors[0].dims[3] ? ek_window_s8
                                                                : ek_window_multiplied_s8;
}
