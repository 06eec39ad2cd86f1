/* The model runtime: open a model image where it lies, prove it, run it in memory that the caller
 * owns. Bytes: firmware/runtime/CONTAINER.md. Writer: edgekit/formats/image.py. No heap, no
 * recursion, no state but the variables of models that stream, in the arena. */
#ifndef EK_H
#define EK_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

/* Views into the bytes of an image, made by ek_image_open; the bytes must stay where they are.
 * Fields are private. */
typedef struct ek_image {
    const uint8_t *bytes;
    const uint8_t *meta;
    const uint8_t *features;
    const uint8_t *ops;
    const uint8_t *weights;
    const uint8_t *plan;
    const uint8_t *head;
    const uint8_t *golden;
    const uint8_t *variables;
    uint32_t length;
    uint32_t meta_bytes;
    uint32_t weights_bytes;
    uint32_t arena_bytes;
    uint32_t node_count;
    uint32_t word_count;
    uint32_t tensor_count;
    uint32_t input;
    uint32_t output;
    uint32_t raw_bytes;
    uint32_t input_bytes;
    uint32_t output_bytes;
    uint32_t head_node;
    uint32_t golden_count;
    uint32_t variable_count;
} ek_image;

/* Proves an image whole, once: checksum, every offset, size, tensor, operator, parameter and shape.
 * After EK_OK, ek_run reads and writes only the image, the arena, the input and the output. bytes:
 * 16-byte aligned. length: bytes that may be read; the image may be shorter (a flash slot).
 * Statuses: EK_ERR_ARGUMENT (alignment), EK_ERR_TRUNCATED, EK_ERR_MAGIC, EK_ERR_VERSION,
 * EK_ERR_CRC, EK_ERR_RANGE, EK_ERR_OP, EK_ERR_SHAPE, EK_ERR_NOT_FINITE. */
ek_status ek_image_open(ek_image *image, const uint8_t *bytes, size_t length);

size_t ek_image_bytes(const ek_image *image);        /* of the image itself */
size_t ek_image_arena_bytes(const ek_image *image);  /* working memory, exact, scratch included */
size_t ek_image_input_bytes(const ek_image *image);  /* int8, or int16 or int32 as bytes */
size_t ek_image_output_bytes(const ek_image *image); /* int8, or int16 or int32 as bytes */
size_t ek_image_raw_bytes(const ek_image *image);    /* what ek_features_apply reads; of text, a
                                                        golden vector's */
size_t ek_image_node_count(const ek_image *image);
size_t ek_image_variable_count(const ek_image *image); /* 0: inferences are independent */

/* CBOR map of the image: name, version, labels and so on; bytes receives its length. */
const uint8_t *ek_image_meta(const ek_image *image, size_t *bytes);

/* What the input's numbers stand for: x = (q - zero_point) scale. EK_ERR_SHAPE if it is no int8. */
ek_status ek_image_input_scale(const ek_image *image, float *scale, int32_t *zero_point);

/* Where input and output lie in the arena: a caller that fills the input there, and reads the
 * output there, needs no memory of its own for them. They may share bytes: the input is gone after
 * a run.
 */
int8_t *ek_image_input(const ek_image *image, uint8_t *arena);
int8_t *ek_image_output(const ek_image *image, uint8_t *arena);

/* Gives the variables of a model that streams their first values: needed before its first ek_run,
 * and wherever another stream begins. Does nothing for other models. Statuses: EK_ERR_ARENA. */
ek_status ek_state_reset(const ek_image *image, uint8_t *arena, size_t arena_bytes);

/* Runs the model once. arena: 16-byte aligned, at least ek_image_arena_bytes; its content does not
 * matter before and is undefined after, but for a model with variables it is theirs from
 * ek_state_reset on. input, output: outside the arena, or as ek_image_input and
 * ek_image_output say; then nothing is copied. Statuses: EK_ERR_ARENA. */
ek_status ek_run(const ek_image *image, uint8_t *arena, size_t arena_bytes, const int8_t *input,
                 int8_t *output);

/* Called before node i, and once after the last with node = number of nodes. */
typedef void (*ek_layer_hook)(void *context, uint32_t node);

/* As ek_run, with a hook around every node. */
ek_status ek_run_hooked(const ek_image *image, uint8_t *arena, size_t arena_bytes,
                        const int8_t *input, int8_t *output, ek_layer_hook hook, void *context);

/* Turns raw bytes (ek_image_raw_bytes) into the model's input (ek_image_input_bytes). Text of an
 * image that takes text may be filled up with zero bytes: they say nothing. */
ek_status ek_features_apply(const ek_image *image, const uint8_t *raw, int8_t *input);

/* 1 if the image has a tokenizer: its raw input is text of any length. */
int ek_image_takes_text(const ek_image *image);

/* Turns UTF-8 into the ids that the model reads, int32 [1, L]: [CLS], tokens, zeros. count: ids
 * that are no filling. What does not fit in L is not read; what is no UTF-8 counts as U+FFFD.
 * Statuses: EK_ERR_STATE if the image takes no text. */
ek_status ek_text_apply(const ek_image *image, const uint8_t *text, size_t bytes, int8_t *input,
                        uint32_t *count);

/* Runs every golden vector of the image: raw -> input and input -> output must be equal in each
 * byte. Variables are reset before each and at the end. arena: as for ek_run. Statuses:
 * EK_ERR_GOLDEN, EK_ERR_ARENA, EK_ERR_STATE if there is none.
 */
ek_status ek_golden_check(const ek_image *image, uint8_t *arena, size_t arena_bytes);

/* The layer that is trained on the device: classes x features, float32, little-endian, 4-byte
 * aligned. */
typedef struct {
    uint32_t classes;       /* k */
    uint32_t max_classes;   /* K_max >= k */
    uint32_t features;      /* h */
    float scale;            /* of the int8 features */
    int32_t zero_point;     /* of the int8 features */
    const uint8_t *weights; /* float32 [k, h] */
    const uint8_t *bias;    /* float32 [k] */
    float rate;             /* default learning rate */
} ek_head;

/* Reads the head section. Statuses: EK_ERR_STATE if the image has none. */
ek_status ek_image_head(const ek_image *image, ek_head *head);

/* Runs the model up to the tensor that the head reads, and copies it: features int8 [h].
 * Statuses: EK_ERR_STATE if the image has no head, EK_ERR_ARENA. */
ek_status ek_run_features(const ek_image *image, uint8_t *arena, size_t arena_bytes,
                          const int8_t *input, int8_t *features);

#endif
