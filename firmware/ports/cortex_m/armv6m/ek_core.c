/* Armv6-M: no floating point, no guard, no fault registers; what lies below the RAM faults. */
#include "ek_bare.h"

void ek_core_init(void) {
}

void ek_core_write_fault(void) {
}
