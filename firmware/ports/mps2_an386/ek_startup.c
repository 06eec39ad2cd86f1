/* From reset to ek_main, and what happens on a fault: a line on the console, exit status 101. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "ek_mps2.h"
#include "ek_port.h"
#include "ek_semihost.h"

enum { FAULT_EXIT = 101, NMI = 2 };
enum { STACK_PAINT = 0x5aa5a55a };

/* System control block and memory protection unit.
 * Source: Armv7-M Architecture Reference Manual, B3.2 and B3.5. */
enum {
    SCB_CFSR = 0xe000ed28,
    SCB_HFSR = 0xe000ed2c,
    SCB_MMFAR = 0xe000ed34,
    SCB_BFAR = 0xe000ed38
};
enum {
    SCB_CPACR = 0xe000ed88,
    MPU_CTRL = 0xe000ed94,
    MPU_RBAR = 0xe000ed9c,
    MPU_RASR = 0xe000eda0
};
enum { GUARD_BASE = 0x1fc00000, GUARD_4_MIB_NO_ACCESS = (21 << 1) | 1, RBAR_VALID = 1 << 4 };
enum { MPU_ON_WITH_DEFAULT_MAP = 5 };

extern uint32_t ek_stack_bottom[];
extern uint32_t ek_stack_top[];
extern uint32_t ek_data_start[];
extern uint32_t ek_data_end[];
extern const uint32_t ek_data_load[];
extern uint32_t ek_bss_start[];
extern uint32_t ek_bss_end[];

int main(void);

_Noreturn void ek_reset_handler(void);
_Noreturn void ek_fault_report(const uint32_t *frame, uint32_t exception);
void ek_fault_handler(void);

/* A stack of its own, so that an overflow of the main stack can be told. */
static uint64_t fault_stack[64];

typedef struct vector_table {
    const void *initial_stack;
    void (*handlers[15 + 32])(void);
} vector_table;

__attribute__((section(".vectors"), used)) static const vector_table vectors = {
    .initial_stack = ek_stack_top,
    .handlers = {ek_reset_handler, [1 ... 46] = ek_fault_handler},
};

_Noreturn void ek_reset_handler(void) {
    /* No interrupt is ever taken: ek_port_idle waits for pending ones. */
    __asm__ volatile("cpsid i" ::: "memory");
    *ek_register(SCB_CPACR) |= 0xfu << 20;
    /* Nothing below the RAM, where the stack would grow into, may be touched. */
    *ek_register(MPU_RBAR) = GUARD_BASE | RBAR_VALID;
    *ek_register(MPU_RASR) = GUARD_4_MIB_NO_ACCESS;
    *ek_register(MPU_CTRL) = MPU_ON_WITH_DEFAULT_MAP;
    __asm__ volatile("dsb\n isb" ::: "memory");
    uint32_t *here = NULL;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (uint32_t *word = ek_stack_bottom; word < here - 16; word++) {
        *word = STACK_PAINT;
    }
    const uint32_t *from = ek_data_load;
    for (uint32_t *word = ek_data_start; word < ek_data_end; word++) {
        *word = *from++;
    }
    for (uint32_t *word = ek_bss_start; word < ek_bss_end; word++) {
        *word = 0;
    }
    ek_port_exit(main());
    ek_semihost_exit(FAULT_EXIT);
}

uint32_t ek_stack_used(void) {
    const uint32_t *word = ek_stack_bottom;
    while (word < ek_stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)ek_stack_top - (uintptr_t)word);
}

__attribute__((naked)) void ek_fault_handler(void) {
    __asm__ volatile("mrs r0, msp\n"
                     "mrs r1, ipsr\n"
                     "ldr r2, =%c0\n"
                     "mov sp, r2\n"
                     "b ek_fault_report\n"
                     :
                     : "i"(fault_stack + 64));
}

_Noreturn void ek_fault_report(const uint32_t *frame, uint32_t exception) {
    if ((exception & 0x1ffu) == NMI) {
        ek_console_write("watchdog: not fed, reset\n");
        ek_port_reset();
    }
    ek_console_write("fault: exception ");
    ek_console_write_number(exception & 0x1ffu);
    const uintptr_t low = (uintptr_t)ek_stack_bottom;
    const uintptr_t high = (uintptr_t)ek_stack_top;
    if ((uintptr_t)frame >= low && (uintptr_t)frame + 32 <= high) {
        ek_console_write(" pc ");
        ek_console_write_hex(frame[6]);
        ek_console_write(" lr ");
        ek_console_write_hex(frame[5]);
    } else {
        ek_console_write(" stack overflow, sp ");
        ek_console_write_hex((uint32_t)(uintptr_t)frame);
    }
    ek_console_write(" cfsr ");
    ek_console_write_hex(*ek_register(SCB_CFSR));
    ek_console_write(" hfsr ");
    ek_console_write_hex(*ek_register(SCB_HFSR));
    ek_console_write(" mmfar ");
    ek_console_write_hex(*ek_register(SCB_MMFAR));
    ek_console_write(" bfar ");
    ek_console_write_hex(*ek_register(SCB_BFAR));
    ek_console_write("\n");
    ek_semihost_exit(FAULT_EXIT);
}
