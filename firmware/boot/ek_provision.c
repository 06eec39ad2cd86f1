#include "ek_provision.h"

#include <stdbool.h>
#include <string.h>

#include "../link/ek_frame.h"
#include "../link/ek_wire.h"

static bool is_id_character(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_zero(const uint8_t *bytes, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= bytes[i];
    }
    return any == 0U;
}

ek_status ek_provision_read(const uint8_t page[EK_PROVISION_BYTES], ek_provision *provision) {
    if (memcmp(page, "EKPV", 4) != 0) {
        return EK_ERR_MAGIC;
    }
    if (ek_wire_get_u16(page + 4) != 1U) {
        return EK_ERR_VERSION;
    }
    if (ek_crc32(0, page, 252) != ek_wire_get_u32(page + 252)) {
        return EK_ERR_CRC;
    }
    const uint16_t mode = ek_wire_get_u16(page + 6);
    if (mode > (uint16_t)EK_MODE_BENCH || !is_zero(page + 46, 2) || !is_zero(page + 152, 100)) {
        return EK_ERR_RANGE;
    }
    size_t id_bytes = 0;
    while (id_bytes < 32U && is_id_character(page[8U + id_bytes])) {
        id_bytes++;
    }
    if (id_bytes == 0U || !is_zero(page + 8U + id_bytes, 32U - id_bytes)) {
        return EK_ERR_RANGE;
    }
    provision->mode = (ek_provision_mode)mode;
    memcpy(provision->id, page + 8, 32);
    provision->id[32] = '\0';
    memcpy(provision->gateway, page + 40, 4);
    provision->gateway_port = ek_wire_get_u16(page + 44);
    memcpy(provision->token, page + 48, 8);
    memcpy(provision->secret, page + 56, 32);
    memcpy(provision->release_key, page + 88, 32);
    memcpy(provision->entropy, page + 120, 32);
    return EK_OK;
}
