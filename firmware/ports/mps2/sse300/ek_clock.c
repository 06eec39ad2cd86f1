/* The system counter of the SSE-300 and a timer that compares with it.
 * Source: Arm 101773, Corstone SSE-300 Example Subsystem, "System counter", "System timers". */
#include "ek_clock.h"

#include "board.h"
#include "ek_bare.h"
#include "ek_port.h"

enum { COUNTER_CNTCR = 0x00, COUNTER_ON = 1 };
enum { TIMER_CNTPCT_LOW = 0x00, TIMER_TVAL = 0x28, TIMER_CTL = 0x2c };
enum { TIMER_ON = 1, TIMER_OFF = 0 };

void ek_clock_start(void) {
    *ek_register(EK_COUNTER + COUNTER_CNTCR) = COUNTER_ON;
}

uint32_t ek_port_ticks(void) {
    return *ek_register(EK_TIMER + TIMER_CNTPCT_LOW);
}

void ek_clock_alarm(uint32_t ticks) {
    *ek_register(EK_TIMER + TIMER_TVAL) = ticks;
    *ek_register(EK_TIMER + TIMER_CTL) = TIMER_ON;
}

void ek_clock_alarm_off(void) {
    *ek_register(EK_TIMER + TIMER_CTL) = TIMER_OFF;
}
