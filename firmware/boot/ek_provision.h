/* The provisioning page: who this device is, where its gateway is, and how it is claimed.
 * Source: firmware/link/PROTOCOL.md, Provisioning page. Twin: edgekit/fleet/provision.py */
#ifndef EK_PROVISION_H
#define EK_PROVISION_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

#define EK_PROVISION_BYTES 256U

typedef enum ek_provision_mode { EK_MODE_AGENT = 0, EK_MODE_BENCH = 1 } ek_provision_mode;

typedef struct ek_provision {
    ek_provision_mode mode;
    char id[33]; /* ends with 0 */
    uint8_t gateway[4];
    uint16_t gateway_port;
    uint8_t token[8];
    uint8_t secret[32];
    uint8_t release_key[32];
    uint8_t entropy[32];
} ek_provision;

/* Proves the page whole. EK_ERR_MAGIC, EK_ERR_VERSION, EK_ERR_CRC or EK_ERR_RANGE. */
ek_status ek_provision_read(const uint8_t page[EK_PROVISION_BYTES], ek_provision *provision);

#endif
