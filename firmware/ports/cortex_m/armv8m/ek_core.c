/* Armv8-M with the main extension, in the secure state.
 * Source: Armv8-M Architecture Reference Manual, MSPLIM and CPACR. */
#include "ek_bare.h"

enum { SCB_CPACR = 0xe000ed88 };

extern uint32_t ek_stack_bottom[];

void ek_core_init(void) {
    /* Coprocessors 10 and 11: floating point and vectors. */
    *ek_register(SCB_CPACR) |= 0xfu << 20;
    __asm__ volatile("dsb\n isb\n msr msplim, %0" ::"r"(ek_stack_bottom) : "memory");
}
