/* Runs a generated library on inputs from stdin until they end; outputs go to stdout. LIBRARY_*
 * come from the command line. With LIBRARY_RAW the inputs are raw,
 * with LIBRARY_RESET the model streams. */
#include <stdio.h>
#include <string.h>

#include "model.h"

static _Alignas(LIBRARY_ARENA_ALIGN) uint8_t arena[LIBRARY_ARENA_BYTES];
static uint8_t raw[LIBRARY_INPUT_BYTES];
static int8_t input[LIBRARY_INPUT_BYTES];
static int8_t output[LIBRARY_OUTPUT_BYTES];

#ifdef LIBRARY_RAW
#define PREPARE() LIBRARY_RAW(raw, input)
#else
#define PREPARE() memcpy(input, raw, sizeof input)
#endif

int main(void) {
    ek_status status = LIBRARY_CHECK(arena);
    if (status != EK_OK) {
        fprintf(stderr, "check: %s\n", LIBRARY_STATUS_TEXT(status));
        return 1;
    }
    if (LIBRARY_RUN(input, output, arena + 1) != EK_ERR_ARENA) {
        fprintf(stderr, "a misaligned arena was taken\n");
        return 1;
    }
#ifdef LIBRARY_RESET
    memset(arena, 0xa5, sizeof arena);
    status = LIBRARY_RESET(arena);
    if (status != EK_OK || LIBRARY_RESET(arena + 1) != EK_ERR_ARENA) {
        fprintf(stderr, "reset: %s\n", LIBRARY_STATUS_TEXT(status));
        return 1;
    }
#endif
    while (fread(raw, sizeof raw, 1, stdin) == 1) {
        PREPARE();
#ifndef LIBRARY_RESET
        memset(arena, 0xa5, sizeof arena);
#endif
        status = LIBRARY_RUN(input, output, arena);
        if (status != EK_OK || fwrite(output, sizeof output, 1, stdout) != 1) {
            fprintf(stderr, "run: %s\n", LIBRARY_STATUS_TEXT(status));
            return 1;
        }
    }
    return 0;
}
