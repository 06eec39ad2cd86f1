/* Numbers of the container, as specified in CONTAINER.md. Twin: edgekit/formats/container.py. */
#ifndef EK_CONTAINER_H
#define EK_CONTAINER_H

enum {
    EK_CONTAINER_VERSION = 1,
    EK_HEADER_BYTES = 32,
    EK_SECTION_BYTES = 16,
    EK_MAX_SECTIONS = 9,
    EK_SECTION_ALIGN = 16,
    EK_OPS_HEADER_BYTES = 16,
    EK_NODE_BYTES = 16,
    EK_PLAN_HEADER_BYTES = 32,
    EK_TENSOR_BYTES = 16,
    EK_FEATURES_HEADER_BYTES = 16,
    EK_HEAD_HEADER_BYTES = 32,
    EK_GOLDEN_HEADER_BYTES = 16,
    EK_VARIABLES_HEADER_BYTES = 16,
    EK_VARIABLE_BYTES = 16
};

typedef enum ek_section {
    EK_SECTION_META = 1,
    EK_SECTION_FEATURES = 2,
    EK_SECTION_OPS = 3,
    EK_SECTION_WEIGHTS = 4,
    EK_SECTION_PLAN = 5,
    EK_SECTION_HEAD = 6,
    EK_SECTION_GOLDEN = 7,
    EK_SECTION_NAMES = 8,
    EK_SECTION_VARIABLES = 9
} ek_section;

enum { EK_KIND_ARENA = 0, EK_KIND_WEIGHTS = 1 };

enum { EK_FEATURES_NONE = 0, EK_FEATURES_LUT_U8 = 1, EK_FEATURES_BPE = 2 };

/* One dimension, one tensor, the arena: nothing is larger. */
#define EK_MAX_BYTES 0x40000000u

#define EK_MAX_VARIABLES 64u

#endif
