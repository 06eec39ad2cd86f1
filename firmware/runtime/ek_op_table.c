#include "ek_op_table.h"

#ifndef EK_OP_SET_HEADER
#define EK_OP_SET_HEADER "ek_ops.def"
#endif

static const ek_op ek_op_table[] = {
#define X(id, number, name, in_place) {number, in_place, ek_##name##_s8_check, ek_##name##_s8},
#define X16(id, number, name, in_place) {number, in_place, ek_##name##_s16_check, ek_##name##_s16},
#include EK_OP_SET_HEADER
#undef X
#undef X16
};

const ek_op *ek_op_find(uint32_t number) {
    for (size_t i = 0; i < sizeof ek_op_table / sizeof ek_op_table[0]; i++) {
        if (ek_op_table[i].number == number) {
            return &ek_op_table[i];
        }
    }
    return NULL;
}
