#include "ek_resolve.h"

#include "ek_bytes.h"
#include "ek_container.h"

static const uint8_t *tensor_entry(const ek_image *image, uint32_t id) {
    return image->plan + EK_PLAN_HEADER_BYTES + (size_t)EK_TENSOR_BYTES * id;
}

static const uint8_t *node_entry(const ek_image *image, uint32_t node) {
    return image->ops + EK_OPS_HEADER_BYTES + (size_t)EK_NODE_BYTES * node;
}

static const uint8_t *word_entry(const ek_image *image, uint32_t word) {
    return image->ops + EK_OPS_HEADER_BYTES + (size_t)EK_NODE_BYTES * image->node_count +
           4 * (size_t)word;
}

void ek_tensor_resolve(const ek_image *image, uint32_t id, uint8_t *arena, ek_tensor *tensor) {
    const uint8_t *entry = tensor_entry(image, id);
    const uint8_t *dims =
        tensor_entry(image, image->tensor_count) + 4 * (size_t)ek_get_u32(entry + 12);
    const uint32_t offset = ek_get_u32(entry + 8);
    tensor->type = entry[0];
    tensor->rank = entry[1];
    tensor->constant = entry[2] == EK_KIND_WEIGHTS;
    tensor->zero_point = (int8_t)entry[3];
    tensor->count = 1;
    for (uint32_t i = 0; i < EK_MAX_RANK; i++) {
        tensor->dims[i] = i < tensor->rank ? ek_get_u32(dims + 4 * (size_t)i) : 1;
        tensor->count *= tensor->dims[i];
    }
    tensor->write = NULL;
    if (tensor->constant) {
        tensor->data = image->weights + offset;
    } else if (arena != NULL) {
        tensor->data = arena + offset;
        tensor->write = arena + offset;
    } else {
        tensor->data = NULL;
    }
}

uint32_t ek_tensor_offset(const ek_image *image, uint32_t id) {
    return ek_get_u32(tensor_entry(image, id) + 8);
}

uint32_t ek_node_tensor(const ek_image *image, uint32_t node, uint32_t position) {
    return ek_get_u32(word_entry(image, ek_get_u32(node_entry(image, node) + 4) + position));
}

uint32_t ek_node_scratch(const ek_image *image, uint32_t node) {
    return ek_get_u32(node_entry(image, node) + 12);
}

void ek_node_resolve(const ek_image *image, uint32_t node, uint8_t *arena, ek_call *call,
                     const ek_op **op) {
    const uint8_t *entry = node_entry(image, node);
    const uint32_t words = ek_get_u32(entry + 4);
    *op = ek_op_find(ek_get_u16(entry));
    call->inputs = entry[2];
    call->outputs = entry[3];
    call->param_count = ek_get_u32(entry + 8);
    const uint32_t tensors = call->inputs + call->outputs;
    for (uint32_t i = 0; i < tensors; i++) {
        ek_tensor_resolve(image, ek_get_u32(word_entry(image, words + i)), arena,
                          &call->tensors[i]);
    }
    call->params = word_entry(image, words + tensors);
    call->scratch = arena == NULL ? NULL : arena + ek_get_u32(entry + 12);
}
