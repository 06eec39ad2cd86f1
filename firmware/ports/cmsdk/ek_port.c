/* The port to a core with the timer and UART of Arm's Cortex-M System Design Kit: a test bench
 * without an agent, so only what that needs. Source: Arm DDI 0479, 4.2 and 4.3. */
#include "ek_port.h"

#include "board.h"
#include "ek_bare.h"

enum { TIMER_CTRL = 0x00, TIMER_VALUE = 0x04, TIMER_RELOAD = 0x08, TIMER_ON = 1 };
enum { UART_DATA = 0x00, UART_STATE = 0x04, UART_CTRL = 0x08, UART_BAUD = 0x10 };
enum { UART_TRANSMIT_FULL = 1, UART_TRANSMIT_ON = 1, FASTEST_BAUD = 16 };

void ek_port_init(void) {
    *ek_register(EK_UART + UART_BAUD) = FASTEST_BAUD;
    *ek_register(EK_UART + UART_CTRL) = UART_TRANSMIT_ON;
    *ek_register(EK_TIMER + TIMER_RELOAD) = 0xffffffffu;
    *ek_register(EK_TIMER + TIMER_VALUE) = 0xffffffffu;
    *ek_register(EK_TIMER + TIMER_CTRL) = TIMER_ON;
}

uint32_t ek_port_ticks(void) {
    return 0xffffffffu - *ek_register(EK_TIMER + TIMER_VALUE);
}

void ek_console_put(char character) {
    while ((*ek_register(EK_UART + UART_STATE) & UART_TRANSMIT_FULL) != 0) {
    }
    *ek_register(EK_UART + UART_DATA) = (uint8_t)character;
}
