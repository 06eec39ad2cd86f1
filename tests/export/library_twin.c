/* Compares the constants of a generated library with what the runtime finds in the .ekm. */
#include <stdio.h>
#include <string.h>

#include "model.c"

#include "ek_resolve.h"

#include "image.h"

#define SAME(field) (golden_image.field == opened.field && image.field == opened.field)

static ek_image opened;
static _Alignas(16) uint8_t memory[64];
static ek_call found, made;
static const ek_op *op_found, *op_made;

static void resolve_made(uint32_t node) {
    ek_node_resolve(&image, node, memory, &made, &op_made);
}

static uint32_t made_tensor(uint32_t node, uint32_t position) {
    return ek_node_tensor(&image, node, position);
}

static uint32_t made_offset(uint32_t id) {
    return ek_tensor_offset(&image, id);
}

/* From here on the runtime's own functions, without the library's prefix. */
#undef ek_node_resolve
#undef ek_node_tensor
#undef ek_tensor_offset
void ek_node_resolve(const ek_image *image, uint32_t node, uint8_t *arena, ek_call *call,
                     const ek_op **op);
uint32_t ek_node_tensor(const ek_image *image, uint32_t node, uint32_t position);
uint32_t ek_tensor_offset(const ek_image *image, uint32_t id);

static int node_differs(uint32_t node) {
    ek_node_resolve(&opened, node, memory, &found, &op_found);
    resolve_made(node);
    int differs = found.inputs != made.inputs || found.outputs != made.outputs ||
                  found.param_count != made.param_count || found.scratch != made.scratch ||
                  op_found->number != op_made->number ||
                  op_found->in_place != op_made->in_place ||
                  memcmp(found.params, made.params, 4 * (size_t)found.param_count) != 0;
    for (uint32_t i = 0; i < found.inputs + found.outputs; i++) {
        const uint32_t id = made_tensor(node, i);
        ek_tensor *x = &found.tensors[i], *y = &made.tensors[i];
        differs |= id != ek_node_tensor(&opened, node, i);
        differs |= made_offset(id) != ek_tensor_offset(&opened, id);
        if (x->constant && y->constant) {
            differs |= x->data - opened.weights != y->data - image.weights;
            x->data = y->data;
        }
        differs |= memcmp(x, y, sizeof *x) != 0;
    }
    return differs;
}

int main(void) {
    ek_status status = ek_image_open(&opened, image_bytes, sizeof image_bytes);
    if (status != EK_OK) {
        printf("ek_image_open: %d\n", (int)status);
        return 1;
    }
    if (!(SAME(weights_bytes) && SAME(arena_bytes) && SAME(node_count) && SAME(input) &&
          SAME(output) && SAME(input_bytes) && SAME(output_bytes)) ||
        memcmp(opened.weights, weights_bytes, sizeof weights_bytes) != 0) {
        puts("the constant image differs from the opened one");
        return 1;
    }
    for (uint32_t node = 0; node < opened.node_count; node++) {
        if (node_differs(node)) {
            printf("node %u differs\n", (unsigned)node);
            return 1;
        }
    }
    if (golden_image.golden_count != opened.golden_count ||
        memcmp(golden_image.golden, opened.golden, sizeof golden_bytes) != 0 ||
        (golden_image.features == NULL) != (opened.features == NULL)) {
        puts("golden vectors differ");
        return 1;
    }
#ifdef HEAD
    if (head_image.head_node != opened.head_node ||
        memcmp(head_image.head, opened.head, sizeof head_bytes) != 0) {
        puts("the head differs");
        return 1;
    }
#endif
    return 0;
}
