/* What the files of this port share: console, stack watch. */
#ifndef EK_MPS2_H
#define EK_MPS2_H

#include <stdint.h>

/* Register of a peripheral. Source: Arm DAI 0386, application note AN386, memory map. */
static inline volatile uint32_t *ek_register(uint32_t address) {
    return (volatile uint32_t *)(uintptr_t)address;
}

void ek_console_write(const char *text);
void ek_console_write_hex(uint32_t value);
void ek_console_write_number(uint32_t value);

/* Bytes of stack used so far: the stack is painted at start. */
uint32_t ek_stack_used(void);

#endif
