/* From a node number to tensors with addresses. */
#ifndef EK_RESOLVE_H
#define EK_RESOLVE_H

#include "ek.h"
#include "ek_kernel.h"
#include "ek_op_table.h"

/* One entry of the tensor table; ids and dimensions must be proven, as ek_image_open does before it
 * calls this. arena: NULL leaves activations without address. */
void ek_tensor_resolve(const ek_image *image, uint32_t id, uint8_t *arena, ek_tensor *tensor);

/* Offset of a tensor in the arena or in the weights. */
uint32_t ek_tensor_offset(const ek_image *image, uint32_t id);

/* Tensor id at a position of a node: inputs first, then outputs. */
uint32_t ek_node_tensor(const ek_image *image, uint32_t node, uint32_t position);

/* What the head reads: the input of its node, or the output if it stands behind the last node. */
static inline uint32_t ek_head_tensor(const ek_image *image) {
    return image->head_node == image->node_count ? image->output
                                                 : ek_node_tensor(image, image->head_node, 0);
}

uint32_t ek_node_scratch(const ek_image *image, uint32_t node);

void ek_node_resolve(const ek_image *image, uint32_t node, uint8_t *arena, ek_call *call,
                     const ek_op **op);

#endif
