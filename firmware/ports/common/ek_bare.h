/* What the files of a port without an operating system share: registers, console, start, and the
 * parts that differ by core. */
#ifndef EK_BARE_H
#define EK_BARE_H

#include <stdint.h>

enum { EK_FAULT_EXIT = 101 };

/* Register of a peripheral. */
static inline volatile uint32_t *ek_register(uint32_t address) {
    return (volatile uint32_t *)(uintptr_t)address;
}

/* Part of the port: sends one character; works before ek_port_init too. */
void ek_console_put(char character);

void ek_console_write(const char *text);
void ek_console_write_hex(uint32_t value);
void ek_console_write_number(uint32_t value);

/* Part of the core: turns on what compiled code needs, and the guard below the stack. */
void ek_core_init(void);

/* Part of the core: writes the fault registers to the console, if it has some. */
void ek_core_write_fault(void);

/* From the first instruction with a stack to main and to the end. */
_Noreturn void ek_start(void);

/* Bytes of stack used so far: the stack is painted at start. */
uint32_t ek_stack_used(void);

#endif
