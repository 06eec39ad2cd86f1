/* The clock of a port: a counter, and an alarm that ends a sleep. */
#ifndef EK_CLOCK_H
#define EK_CLOCK_H

#include <stdint.h>

/* Starts the counter that ek_port_ticks reads. */
void ek_clock_start(void);

/* Makes interrupt EK_IRQ_ALARM pending after ticks, below 2^31. */
void ek_clock_alarm(uint32_t ticks);

/* Takes the alarm back, pending or not. */
void ek_clock_alarm_off(void);

#endif
