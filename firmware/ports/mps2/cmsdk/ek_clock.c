/* Two CMSDK timers. Source: Arm DDI 0479, Cortex-M System Design Kit, 4.2. */
#include "ek_clock.h"

#include "board.h"
#include "ek_bare.h"
#include "ek_port.h"

enum { TIMER_CTRL = 0x00, TIMER_VALUE = 0x04, TIMER_RELOAD = 0x08, TIMER_INTCLEAR = 0x0c };
enum { TIMER_ON = 1, TIMER_INTERRUPT = 1 << 3 };

void ek_clock_start(void) {
    *ek_register(EK_TIMER + TIMER_CTRL) = 0;
    *ek_register(EK_TIMER + TIMER_RELOAD) = 0xffffffffu;
    *ek_register(EK_TIMER + TIMER_VALUE) = 0xffffffffu;
    *ek_register(EK_TIMER + TIMER_CTRL) = TIMER_ON;
}

uint32_t ek_port_ticks(void) {
    return 0xffffffffu - *ek_register(EK_TIMER + TIMER_VALUE);
}

void ek_clock_alarm(uint32_t ticks) {
    *ek_register(EK_ALARM + TIMER_CTRL) = 0;
    *ek_register(EK_ALARM + TIMER_RELOAD) = ticks;
    *ek_register(EK_ALARM + TIMER_VALUE) = ticks;
    *ek_register(EK_ALARM + TIMER_INTCLEAR) = 1;
    *ek_register(EK_ALARM + TIMER_CTRL) = TIMER_ON | TIMER_INTERRUPT;
}

void ek_clock_alarm_off(void) {
    *ek_register(EK_ALARM + TIMER_CTRL) = 0;
    *ek_register(EK_ALARM + TIMER_INTCLEAR) = 1;
}
