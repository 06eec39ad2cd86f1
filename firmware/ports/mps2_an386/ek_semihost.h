/* Semihosting: the few things that the emulator does for us as the laboratory bench would.
 * Source: Arm, Semihosting for AArch32 and AArch64, version 3.0. */
#ifndef EK_SEMIHOST_H
#define EK_SEMIHOST_H

#include <stddef.h>
#include <stdint.h>

/* Ends the emulator with an exit status. */
_Noreturn void ek_semihost_exit(int code);

/* Fills bytes from the random source of the machine that emulates; stands for the chip's generator.
 * Returns 0 if that worked. */
int ek_semihost_random(uint8_t *bytes, size_t n);

#endif
