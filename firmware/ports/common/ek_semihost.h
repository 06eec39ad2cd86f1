/* Semihosting: the few things that the emulator does for us as the laboratory bench would.
 * Source: Arm, Semihosting for AArch32 and AArch64, version 3.0; RISC-V Semihosting, version 0.4.
 */
#ifndef EK_SEMIHOST_H
#define EK_SEMIHOST_H

#include <stddef.h>
#include <stdint.h>

/* Part of the core: one call to the emulator. */
int32_t ek_semihost_call(uint32_t operation, const void *argument);

/* Ends the emulator with an exit status. */
_Noreturn void ek_semihost_exit(int code);

/* Fills bytes from the random source of the machine that emulates; stands for the chip's generator.
 * Returns 0 if that worked. */
int ek_semihost_random(uint8_t *bytes, size_t n);

/* Opens the file that the emulator's command line names, for reading and writing; text holds the
 * name meanwhile. Returns its handle, negative if there is none. */
int32_t ek_semihost_open_argument(char *text, size_t capacity);

/* Moves n bytes at an offset of an open file. Returns 0 if all of them were moved. */
int ek_semihost_read(int32_t handle, uint32_t offset, uint8_t *bytes, size_t n);
int ek_semihost_write(int32_t handle, uint32_t offset, const uint8_t *bytes, size_t n);

#endif
