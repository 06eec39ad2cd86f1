/* RISC-V in machine mode: the guard below the stack, and faults.
 * Source: RISC-V Privileged Architecture, version 20211203, 3.1 and 3.7. */
#include <stdint.h>

#include "board.h"
#include "ek_bare.h"
#include "ek_semihost.h"

/* 512 KiB that end where the RAM begins: locked, no access, naturally aligned power of two. */
enum { GUARD_BYTES = 0x80000, PMP_LOCKED_NAPOT = 0x98 };

extern uint32_t ek_stack_bottom[];

_Noreturn void ek_trap_report(uintptr_t sp);

static void write_register(const char *name, uint32_t value) {
    ek_console_write(name);
    ek_console_write_hex(value);
}

void ek_core_init(void) {
    const uintptr_t base = (uintptr_t)ek_stack_bottom - GUARD_BYTES;
    const uintptr_t address = base >> 2 | ((GUARD_BYTES >> 3) - 1);
    __asm__ volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" ::"r"(address), "r"(PMP_LOCKED_NAPOT));
}

void ek_core_write_fault(void) {
    uint32_t cause = 0;
    uint32_t pc = 0;
    uint32_t address = 0;
    __asm__ volatile("csrr %0, mcause\n csrr %1, mepc\n csrr %2, mtval"
                     : "=r"(cause), "=r"(pc), "=r"(address));
    write_register(" mcause ", cause);
    write_register(" mepc ", pc);
    write_register(" mtval ", address);
}

_Noreturn void ek_trap_report(uintptr_t sp) {
    ek_console_write(sp < (uintptr_t)ek_stack_bottom ? "fault: stack overflow, sp " : "fault: sp ");
    ek_console_write_hex((uint32_t)sp);
    ek_core_write_fault();
    ek_console_write("\n");
    ek_semihost_exit(EK_FAULT_EXIT);
}
