/* The plan of this model: what CONTAINER.md calls plan and ops, in types as narrow as the model
 * allows. The tables are in model.c. */
#ifndef EK_PLAN_H
#define EK_PLAN_H

#include <stdint.h>

typedef struct ek_plan_tensor {
    uint32_t offset;    /* in the arena or in the weights */
    $index_type sides; /* first in ek_plan_sides */
    int8_t zero_point;
    uint8_t shape; /* rank, 8 * type, 128 if it is a constant */
} ek_plan_tensor;

typedef struct ek_plan_node {
    uint32_t scratch;      /* offset in the arena */
    $index_type tensors;  /* first in ek_plan_ids: inputs, then outputs */
    $index_type params;   /* first in ek_plan_params, in words */
    uint16_t param_count;
    uint16_t number; /* of the kernel */
    uint8_t inputs;
    uint8_t outputs;
} ek_plan_node;

extern const ek_plan_tensor ek_plan_tensors[];
extern const ek_plan_node ek_plan_nodes[];
extern const $side_type ek_plan_sides[];
extern const $id_type ek_plan_ids[];
extern const uint8_t ek_plan_params[]; /* int32, little-endian; equal ones stand once */

#endif
