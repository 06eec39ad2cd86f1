/* The kernels that this firmware was built with. */
#ifndef EK_OP_TABLE_H
#define EK_OP_TABLE_H

#include "ek_kernel.h"

typedef enum ek_op_id {
#define X(id, number, name, in_place) id = number,
#define X16(id, number, name, in_place) id = number,
#include "ek_ops.def"
#undef X
#undef X16
} ek_op_id;

typedef struct ek_op {
    uint32_t number;
    uint32_t in_place;
    ek_check_fn check;
    ek_run_fn run;
} ek_op;

/* NULL if the number is unknown or the kernel is not built in. */
const ek_op *ek_op_find(uint32_t number);

#endif
