/* Pixels of DEPTHWISE_CONV_2D with the DSP instructions: 3x3 windows of any stride and dilation. */
#include "ek_depthwise_pixel_s8.h"

#include "ek_depthwise_3x3_s8.h"

_Static_assert(sizeof(ek_depthwise_group) == EK_DEPTHWISE_GROUP_BYTES, "scratch is planned so");

enum { TAPS = 9 };

/* Taps that share a word. */
static const uint8_t pairs[4][2] = {{0, 1}, {2, 5}, {3, 4}, {6, 7}};

/* Two doubled weights as lanes of a word. */
static uint32_t lanes(const int8_t *low, const int8_t *high) {
    return (uint32_t)(uint16_t)(2 * *low) | (uint32_t)(2 * *high) << 16;
}

/* Packs channels [c, c + 4); false if one of them does not fit. */
static int pack(const ek_call *call, uint32_t c, ek_depthwise_group *group) {
    const uint32_t channels = call->tensors[1].dims[3];
    const int8_t *w = (const int8_t *)call->tensors[1].data + c;
    const uint8_t *requant = call->tensors[2].data + 12 * (size_t)c;
    for (uint32_t i = 0; i < EK_DEPTHWISE_GROUP; i++) {
        const int32_t bias = ek_get_i32(requant);
        if (!ek_lane_set(&group->lane[i], ek_get_i32(requant + 4), ek_get_i32(requant + 8),
                         call->tensors[3].zero_point) ||
            !ek_sum_fits(bias, TAPS)) {
            return 0;
        }
        group->bias[i] = 2 * bias;
        for (uint32_t p = 0; p < 4; p++) {
            group->pair[p][i] = lanes(w + i + (size_t)pairs[p][0] * channels,
                                      w + i + (size_t)pairs[p][1] * channels);
        }
        requant += 12;
    }
    w += 8 * (size_t)channels;
    group->last[0] = lanes(w, w + 2);
    group->last[1] = lanes(w + 1, w + 3);
    return 1;
}

static void pixel_3x3(const ek_call *call, const ek_window *window, int8_t *y) {
    const size_t channels = call->tensors[1].dims[3];
    const size_t rest = channels % EK_DEPTHWISE_GROUP;
    const ek_depthwise_group *groups = (const ek_depthwise_group *)(const void *)call->scratch;
    ek_depthwise_3x3 pixel = {
        .x = window->start,
        .column = window->column_step,
        .row = window->row_step,
        .groups = groups,
        .y = y,
        .y_end = y + channels - rest,
    };
    ek_depthwise_3x3_s8(&pixel);
    if (rest != 0) {
        /* The last group begins with channels that are done already. */
        pixel.x += channels - EK_DEPTHWISE_GROUP;
        pixel.groups += channels / EK_DEPTHWISE_GROUP;
        pixel.y += channels - EK_DEPTHWISE_GROUP;
        pixel.y_end = y + channels;
        ek_depthwise_3x3_s8(&pixel);
    }
    const int32_t low = ek_param(call, Y_MIN);
    const int32_t high = ek_param(call, Y_MAX);
    if (low > -128 || high < 127) {
        ek_limit_s8(y, channels, low, high);
    }
}

ek_pixel_fn ek_depthwise_pixel_s8(const ek_call *call) {
    const uint32_t channels = call->tensors[1].dims[3];
    if (channels != call->tensors[0].dims[3]) {
        return ek_window_multiplied_s8;
    }
    if (ek_depthwise_scratch_bytes(call) == 0 || ek_param(call, ROUNDING) != EK_ROUND_DOUBLE) {
        return ek_window_s8;
    }
    ek_depthwise_group *group = (ek_depthwise_group *)(void *)call->scratch;
    for (uint32_t c = 0; c < channels; c += EK_DEPTHWISE_GROUP) {
        const uint32_t first =
            c + EK_DEPTHWISE_GROUP <= channels ? c : channels - EK_DEPTHWISE_GROUP;
        if (!pack(call, first, group)) {
            return ek_window_s8;
        }
        group++;
    }
    return pixel_3x3;
}
