/* The port to the nRF51: a test bench without an agent, so only what that needs.
 * Source: nRF51 Series Reference Manual, version 3.0, chapters 18 (TIMER) and 29 (UART). */
#include "ek_port.h"

#include "board.h"
#include "ek_bare.h"

enum {
    TASKS_STARTTX = 0x008,
    EVENTS_TXDRDY = 0x11c,
    UART_ENABLE = 0x500,
    PSELTXD = 0x50c,
    TXD = 0x51c,
    BAUDRATE = 0x524
};
enum { UART_ON = 4 };
enum {
    TASKS_START = 0x000,
    TASKS_CAPTURE = 0x040,
    TIMER_MODE = 0x504,
    BITMODE = 0x508,
    PRESCALER = 0x510,
    CAPTURED = 0x540
};
enum { MODE_TIMER = 0, BITMODE_32 = 3 };

static const uint32_t BAUD_115200 = 0x01d7e000;

void ek_port_init(void) {
    *ek_register(EK_UART + PSELTXD) = EK_PIN_TRANSMIT;
    *ek_register(EK_UART + BAUDRATE) = BAUD_115200;
    *ek_register(EK_UART + UART_ENABLE) = UART_ON;
    *ek_register(EK_UART + TASKS_STARTTX) = 1;
    *ek_register(EK_TIMER + TIMER_MODE) = MODE_TIMER;
    *ek_register(EK_TIMER + BITMODE) = BITMODE_32;
    *ek_register(EK_TIMER + PRESCALER) = 0;
    *ek_register(EK_TIMER + TASKS_START) = 1;
}

uint32_t ek_port_ticks(void) {
    *ek_register(EK_TIMER + TASKS_CAPTURE) = 1;
    return *ek_register(EK_TIMER + CAPTURED);
}

void ek_console_put(char character) {
    enum { SPINS = 100000 };
    *ek_register(EK_UART + EVENTS_TXDRDY) = 0;
    *ek_register(EK_UART + TXD) = (uint8_t)character;
    for (int spin = 0; spin < SPINS && *ek_register(EK_UART + EVENTS_TXDRDY) == 0; spin++) {
    }
}
