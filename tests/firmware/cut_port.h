/* A flash in RAM whose power fails at a chosen operation: before it, after it, or in the middle of
 * it. */
#ifndef CUT_PORT_H
#define CUT_PORT_H

#include <setjmp.h>
#include <stdint.h>

#include "board.h"

#define CUT_FLASH_BYTES (EK_FLASH_SLOT_B_OFFSET + EK_FLASH_SLOT_B_BYTES)
#define CUT_NEVER UINT32_MAX

typedef enum cut_mode { CUT_BEFORE, CUT_AFTER, CUT_INSIDE, CUT_MODES } cut_mode;

extern uint8_t cut_flash[CUT_FLASH_BYTES];
extern uint32_t cut_operations; /* erases and writes so far */
extern uint32_t cut_at;         /* the operation that is cut */
extern cut_mode cut_how;
extern jmp_buf cut_power; /* where the cut ends up */

#endif
