/* The reset of a Cortex-M, and what happens on a fault: a line on the console, exit status 101. */
#include <stdint.h>

#include "ek_bare.h"
#include "ek_port.h"
#include "ek_semihost.h"

enum { NMI = 2, FRAME_LR = 5, FRAME_PC = 6, SCB_AIRCR = 0xe000ed0c };

extern uint32_t ek_stack_bottom[];
extern uint32_t ek_stack_top[];

_Noreturn void ek_reset_handler(void);
_Noreturn void ek_fault_report(const uint32_t *frame, uint32_t exception);
void ek_fault_handler(void);

/* A stack of its own, so that an overflow of the main stack can be told. */
static uint64_t fault_stack[32];

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
    ek_start();
}

void ek_port_reset(void) {
    __asm__ volatile("dsb" ::: "memory");
    *ek_register(SCB_AIRCR) = 0x05fa0004u;
    for (;;) {
    }
}

__attribute__((naked)) void ek_fault_handler(void) {
    __asm__ volatile("mrs r0, msp\n"
                     "mrs r1, ipsr\n"
                     "ldr r2, =%c0\n"
                     "mov sp, r2\n"
                     "ldr r2, =ek_fault_report\n"
                     "bx r2\n"
                     :
                     : "i"(fault_stack + 32));
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
    /* A stack limit stops at the very bottom, a guard below it. */
    if ((uintptr_t)frame > low && (uintptr_t)frame + 32 <= high) {
        ek_console_write(" pc ");
        ek_console_write_hex(frame[FRAME_PC]);
        ek_console_write(" lr ");
        ek_console_write_hex(frame[FRAME_LR]);
    } else {
        ek_console_write(" stack overflow, sp ");
        ek_console_write_hex((uint32_t)(uintptr_t)frame);
    }
    ek_core_write_fault();
    ek_console_write("\n");
    ek_semihost_exit(EK_FAULT_EXIT);
}
