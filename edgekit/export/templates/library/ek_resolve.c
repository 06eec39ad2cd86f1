#include "ek_names.h"

#include "ek_resolve.h"

#include "ek_plan.h"

void ek_tensor_resolve(const ek_image *image, uint32_t id, uint8_t *arena, ek_tensor *tensor) {
    const ek_plan_tensor *entry = &ek_plan_tensors[id];
    tensor->type = (entry->shape >> 3) & 15u;
    tensor->rank = entry->shape & 7u;
    tensor->constant = entry->shape >> 7;
    tensor->zero_point = entry->zero_point;
    tensor->count = 1;
    for (uint32_t i = 0; i < EK_MAX_RANK; i++) {
        tensor->dims[i] = i < tensor->rank ? ek_plan_sides[entry->sides + i] : 1;
        tensor->count *= tensor->dims[i];
    }
    tensor->write = tensor->constant ? NULL : arena + entry->offset;
    tensor->data = tensor->constant ? image->weights + entry->offset : tensor->write;
}

uint32_t ek_tensor_offset(const ek_image *image, uint32_t id) {
    (void)image;
    return ek_plan_tensors[id].offset;
}

uint32_t ek_node_tensor(const ek_image *image, uint32_t node, uint32_t position) {
    (void)image;
    return ek_plan_ids[ek_plan_nodes[node].tensors + position];
}

void ek_node_resolve(const ek_image *image, uint32_t node, uint8_t *arena, ek_call *call,
                     const ek_op **op) {
    const ek_plan_node *entry = &ek_plan_nodes[node];
    *op = ek_op_find(entry->number);
    call->inputs = entry->inputs;
    call->outputs = entry->outputs;
    call->param_count = entry->param_count;
    const uint32_t tensors = call->inputs + call->outputs;
    for (uint32_t i = 0; i < tensors; i++) {
        ek_tensor_resolve(image, ek_plan_ids[entry->tensors + i], arena, &call->tensors[i]);
    }
    call->params = ek_plan_params + 4u * (uint32_t)entry->params;
    call->scratch = arena + entry->scratch;
}
