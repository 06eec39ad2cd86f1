/* Proves the model on this target, then runs it on an input of zeros. */
#include <stdio.h>
#include <string.h>

#include "model.h"

static _Alignas(${macro}_ARENA_ALIGN) uint8_t arena[${macro}_ARENA_BYTES];

int main(void) {
    ek_status status = ${prefix}_check(arena);
    if (status != EK_OK) {
        printf("golden check: %s\n", ${prefix}_status_text(status));
        return 1;
    }
    printf("golden check: %u vectors equal\n", ${macro}_GOLDEN_COUNT);
    int8_t *input = (int8_t *)arena + ${macro}_INPUT_OFFSET;
    int8_t *output = (int8_t *)arena + ${macro}_OUTPUT_OFFSET;
    memset(input, 0, ${macro}_INPUT_BYTES);
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
