/* Kernels of this machine that lay out constants anew before the first run of a program. */
#ifndef EK_PREPARED_H
#define EK_PREPARED_H

#include "ek_kernel.h"

/* Of constants and workspace, in bytes. */
enum { EK_PREPARED_ALIGN = 64 };

typedef struct ek_prepared_need {
    size_t constants; /* bytes that `fill` writes, kept for this node */
    size_t workspace; /* bytes that `run` may write, shared by all nodes */
} ek_prepared_need;

typedef struct ek_prepared {
    uint32_t number; /* of the kernel that computes the same, in ek_ops.def */
    /* False if the kernel has to run itself. Activations may have no address yet. */
    int (*need)(const ek_call *call, ek_prepared_need *need);
    void (*fill)(const ek_call *call, void *constants);
    void (*run)(const ek_call *call, const void *constants, void *workspace);
} ek_prepared;

/* NULL if this machine has none for a kernel. */
const ek_prepared *ek_prepared_find(uint32_t number);

#endif
