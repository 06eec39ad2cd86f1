/* Armv7-M. Source: Armv7-M Architecture Reference Manual, B3.2 and B3.5. */
#include "ek_bare.h"

enum {
    SCB_CPACR = 0xe000ed88,
    MPU_CTRL = 0xe000ed94,
    MPU_RBAR = 0xe000ed9c,
    MPU_RASR = 0xe000eda0
};
enum { GUARD_BASE = 0x1fc00000, GUARD_4_MIB_NO_ACCESS = (21 << 1) | 1, RBAR_VALID = 1 << 4 };
enum { MPU_ON_WITH_DEFAULT_MAP = 5 };

void ek_core_init(void) {
    /* Coprocessors 10 and 11, floating point; a core without it ignores this. */
    *ek_register(SCB_CPACR) |= 0xfu << 20;
    /* Nothing below the RAM, where the stack would grow into, may be touched. */
    *ek_register(MPU_RBAR) = GUARD_BASE | RBAR_VALID;
    *ek_register(MPU_RASR) = GUARD_4_MIB_NO_ACCESS;
    *ek_register(MPU_CTRL) = MPU_ON_WITH_DEFAULT_MAP;
    __asm__ volatile("dsb\n isb" ::: "memory");
}
