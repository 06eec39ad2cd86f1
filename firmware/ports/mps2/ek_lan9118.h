/* LAN9118 Ethernet controller, polled. */
#ifndef EK_LAN9118_H
#define EK_LAN9118_H

#include <stddef.h>
#include <stdint.h>

#include "ek_status.h"

/* Resets the controller, reads its address and turns sender and receiver on. */
ek_status ek_lan9118_init(uint8_t mac[6]);

/* Sends one frame without its checksum. */
ek_status ek_lan9118_send(const uint32_t *words, size_t length);

/* Takes one waiting frame without its checksum; 0 if there is none. Broken and too long frames are
 * dropped. */
size_t ek_lan9118_receive(uint32_t *words, size_t capacity);

/* True if a frame waits. */
int ek_lan9118_waiting(void);

/* Raises the interrupt line for the next frame, or leaves it alone. */
void ek_lan9118_interrupt(int on);

#endif
