/* Proves the model on this target, then runs it on an input of zeros. */
#include <stdio.h>

#include "model.h"

static _Alignas(${macro}_ARENA_ALIGN) uint8_t arena[${macro}_ARENA_BYTES];
static int8_t input[${macro}_INPUT_BYTES];
static int8_t output[${macro}_OUTPUT_BYTES];

int main(void) {
    ek_status status = ${prefix}_check(arena);
    if (status != EK_OK) {
        printf("golden check: %s\n", ${prefix}_status_text(status));
        return 1;
    }
    printf("golden check: %u vectors equal\n", ${macro}_GOLDEN_COUNT);
    status = ${prefix}_run(input, output, arena);
    if (status != EK_OK) {
        printf("run: %s\n", ${prefix}_status_text(status));
        return 1;
    }
    unsigned best = 0;
    for (unsigned i = 1; i < ${macro}_OUTPUT_BYTES; i++) {
        best = output[i] > output[best] ? i : best;
    }
    int steps = output[best] - ${macro}_OUTPUT_ZERO_POINT;
    printf("largest output: %u, %f\n", best, (double)steps * (double)${macro}_OUTPUT_SCALE);
    return 0;
}
