#include "cut_port.h"

#include <string.h>

#include "ek_port.h"

_Alignas(16) uint8_t cut_flash[CUT_FLASH_BYTES];
uint32_t cut_operations;
uint32_t cut_at = CUT_NEVER;
cut_mode cut_how;
jmp_buf cut_power;

const uint8_t *ek_port_flash_base(void) {
    return cut_flash;
}

/* True if this operation is to be done by halves. */
static int begins(void) {
    const int cut = cut_operations++ == cut_at;
    if (cut && cut_how == CUT_BEFORE) {
        longjmp(cut_power, 1);
    }
    return cut && cut_how == CUT_INSIDE;
}

static void ends(void) {
    if (cut_operations == cut_at + 1U) {
        longjmp(cut_power, 1);
    }
}

ek_status ek_port_flash_erase(size_t offset, size_t bytes) {
    if (offset % EK_FLASH_PAGE_BYTES != 0U || bytes % EK_FLASH_PAGE_BYTES != 0U ||
        offset > CUT_FLASH_BYTES || bytes > CUT_FLASH_BYTES - offset) {
        return EK_ERR_FLASH;
    }
    const size_t done = begins() ? bytes / 2U + 100U : bytes;
    memset(cut_flash + offset, 0xff, done);
    for (size_t i = done; i < bytes; i++) {
        cut_flash[offset + i] |= (uint8_t)(i * 37U); /* some bits are up already */
    }
    ends();
    return EK_OK;
}

ek_status ek_port_flash_write(size_t offset, const uint8_t *bytes, size_t n) {
    if (offset > CUT_FLASH_BYTES || n > CUT_FLASH_BYTES - offset) {
        return EK_ERR_FLASH;
    }
    for (size_t i = 0; i < n; i++) {
        if (cut_flash[offset + i] != 0xffU) {
            return EK_ERR_FLASH;
        }
    }
    const size_t done = begins() ? n / 2U : n;
    memcpy(cut_flash + offset, bytes, done);
    if (done < n) {
        cut_flash[offset + done] &= (uint8_t)(bytes[done] | 0x5aU); /* some bits are down already */
    }
    ends();
    return EK_OK;
}
