/* The port to QEMU's RISC-V `virt` machine: a test bench without an agent, so only what that needs.
 * Source: NS16550A datasheet (UART); RISC-V Privileged Architecture, 3.1.10 (minstret). */
#include "ek_port.h"

#include "board.h"
#include "ek_bare.h"

enum { UART_DATA = 0, UART_LINE_STATUS = 5, TRANSMIT_EMPTY = 1 << 5 };

void ek_port_init(void) {
}

uint32_t ek_port_ticks(void) {
    uint32_t instructions = 0;
    __asm__ volatile("csrr %0, minstret" : "=r"(instructions)::"memory");
    return instructions;
}

void ek_console_put(char character) {
    volatile uint8_t *uart = (volatile uint8_t *)(uintptr_t)EK_UART;
    while ((uart[UART_LINE_STATUS] & TRANSMIT_EMPTY) == 0) {
    }
    uart[UART_DATA] = (uint8_t)character;
}
