/* Proves the sections that an image may have beside its graph: features, head, golden vectors and
 * variables. Called after the graph and its ends are proven. Bytes: CONTAINER.md. */
#ifndef EK_SECTIONS_H
#define EK_SECTIONS_H

#include "ek.h"
#include "ek_kernel.h"

/* Bytes of one section; data is NULL if the image has none of its kind. */
typedef struct ek_span {
    const uint8_t *data;
    uint32_t bytes;
} ek_span;

static inline uint32_t ek_tensor_bytes(const ek_tensor *tensor) {
    return tensor->count * ek_type_bytes(tensor->type);
}

/* True if two places in the arena share a byte. */
static inline int ek_overlap(uint32_t a, uint32_t a_bytes, uint32_t b, uint32_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

ek_status ek_prove_features(ek_image *image, ek_span features);

ek_status ek_prove_head(ek_image *image, ek_span head);

ek_status ek_prove_golden(ek_image *image, ek_span golden);

ek_status ek_prove_variables(ek_image *image, ek_span variables);

#endif
