#include "ek_names.h"

/* The kernels of this library, lines of ek_ops.def. The image was proven when it was exported, so
 * the kernels' own proofs are left out, and with them their code. */
#include "ek_op_table.h"

static const ek_op ek_op_table[] = {
#define X(id, number, name, in_place) {number, in_place, NULL, ek_##name##_s8},
#define X16(id, number, name, in_place) {number, in_place, NULL, ek_##name##_s16},
#include "ek_ops.def"
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
