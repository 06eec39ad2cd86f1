/* Watches the loss of a head that learns: says when to store it, and when to go back to what was
 * stored last. Twin: edgekit/runtime/online_twin.py, Guard */
#ifndef EK_GUARD_H
#define EK_GUARD_H

#include <stdint.h>

#include "ek_real.h"

typedef enum ek_verdict {
    EK_GO_ON,
    EK_STORE,   /* a checkpoint is due, and the loss is good */
    EK_GO_BACK, /* the loss has left what it was: load the last checkpoint */
} ek_verdict;

typedef struct ek_guard {
    ek_real smoothing;   /* weight of a new loss in the running mean, 0 < .. <= 1 */
    ek_real factor;      /* back when the mean exceeds factor times its best, >= 1 */
    ek_real margin;      /* and is greater than it by this */
    uint32_t warm_up;    /* losses before the mean is trusted */
    uint32_t store_each; /* steps between two checkpoints; flash lives through some 10,000 erases */
    ek_real mean;        /* these four begin as 0 */
    ek_real best;
    uint32_t count;
    uint32_t since_store;
} ek_guard;

/* Takes the loss of a step. After EK_GO_BACK the mean begins anew: what was once good need not be
 * good for a stream that has changed. */
ek_verdict ek_guard_see(ek_guard *guard, ek_real loss);

#endif
