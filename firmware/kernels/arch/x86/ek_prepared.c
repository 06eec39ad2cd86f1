#include "ek_prepared.h"

#include "ek_dot_s16.h"
#include "ek_op_table.h"
#include "ek_prepared_x86.h"

static const ek_prepared kernels[] = {
    {EK_OP_CONV_2D, ek_conv_2d_need, ek_conv_2d_fill, ek_conv_2d_ready},
    {EK_OP_FULLY_CONNECTED, ek_fully_connected_need, ek_fully_connected_fill,
     ek_fully_connected_ready},
    {EK_OP_DEPTHWISE_CONV_2D, ek_depthwise_need, ek_depthwise_fill, ek_depthwise_ready},
};

const ek_prepared *ek_prepared_find(uint32_t number) {
    for (size_t i = 0; ek_dot_ready() && i < sizeof kernels / sizeof kernels[0]; i++) {
        if (kernels[i].number == number) {
            return &kernels[i];
        }
    }
    return NULL;
}
