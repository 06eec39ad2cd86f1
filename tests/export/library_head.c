/* Trains the head of a generated library with prefix `tiny`: one step on each input from stdin, with
 * label i modulo the number of classes. Writes the losses, then weights and bias, then the
 * probabilities of the last input. */
#include <stdio.h>

#include "model.h"

static _Alignas(TINY_ARENA_ALIGN) uint8_t arena[TINY_ARENA_BYTES];
static int8_t input[TINY_INPUT_BYTES];
static int8_t features[TINY_HEAD_FEATURES];
static float probabilities[TINY_HEAD_CLASSES];
static tiny_head head;

int main(void) {
    tiny_head_start(&head);
    for (uint32_t i = 0; fread(input, sizeof input, 1, stdin) == 1; i++) {
        float loss;
        if (tiny_features(input, features, arena) != EK_OK ||
            tiny_head_train(&head, features, i % TINY_HEAD_CLASSES, TINY_HEAD_RATE, 0.001f,
                            &loss) != EK_OK) {
            return 1;
        }
        fwrite(&loss, sizeof loss, 1, stdout);
    }
    if (tiny_head_train(&head, features, TINY_HEAD_CLASSES, 0.1f, 0.0f, probabilities) !=
            EK_ERR_LABEL ||
        tiny_head_predict(&head, features, probabilities) != EK_OK) {
        return 1;
    }
    fwrite(head.weights, sizeof head.weights, 1, stdout);
    fwrite(head.bias, sizeof head.bias, 1, stdout);
    fwrite(probabilities, sizeof probabilities, 1, stdout);
    return 0;
}
