/* Fault registers of Armv7-M and of Armv8-M with the main extension.
 * Source: Armv7-M Architecture Reference Manual, B3.2. */
#include "ek_bare.h"

enum {
    SCB_CFSR = 0xe000ed28,
    SCB_HFSR = 0xe000ed2c,
    SCB_MMFAR = 0xe000ed34,
    SCB_BFAR = 0xe000ed38
};

/* Set by the stack limit of Armv8-M; reads as 0 before. */
static const uint32_t CFSR_STKOF = UINT32_C(1) << 20;

void ek_core_write_fault(void) {
    if ((*ek_register(SCB_CFSR) & CFSR_STKOF) != 0) {
        ek_console_write(" stack overflow");
    }
    ek_console_write(" cfsr ");
    ek_console_write_hex(*ek_register(SCB_CFSR));
    ek_console_write(" hfsr ");
    ek_console_write_hex(*ek_register(SCB_HFSR));
    ek_console_write(" mmfar ");
    ek_console_write_hex(*ek_register(SCB_MMFAR));
    ek_console_write(" bfar ");
    ek_console_write_hex(*ek_register(SCB_BFAR));
}
