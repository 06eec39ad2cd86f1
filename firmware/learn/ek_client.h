/* How a client of a federated run trains a dense net: plain steps, those of FedProx, or, for
 * TinyMetaFed, first the layers that stay with it.
 * Source: T. Li et al., Federated Optimization in Heterogeneous Networks (2020), algorithm 2; H.
 * Ren et al., TinyMetaFed (2023). Twin: edgekit/federated/fast.py, train */
#ifndef EK_CLIENT_H
#define EK_CLIENT_H

#include "ek_net.h"

typedef struct ek_client_rule {
    ek_step_rule step;
    ek_real mu;          /* a step also goes rate * mu of the way back to base; 0: it does not */
    const ek_real *base; /* [ek_net_parameters], laid as ek_net_lay lays them; NULL if mu is 0 */
    uint32_t local;      /* layers at the end that the first half of the samples fits alone */
} ek_client_rule;

/* One step on each sample; mean_loss of them. Ends at the first step that fails. EK_ERR_ARGUMENT:
 * no samples, or no layer that is not local. */
ek_status ek_client_epoch(const ek_net *net, const ek_client_rule *rule, const ek_lessons *lessons,
                          ek_real *mean_loss);

#endif
