/* Compares the constant images of a generated library with what ek_image_open finds in the .ekm. */
#include <stdio.h>
#include <string.h>

#include "model.c"

#include "image.h"

#define SAME(field) (golden_image.field == opened.field && image.field == opened.field)
#define EQUAL(field) \
    (memcmp(opened.field, image.field, sizeof field##_bytes) == 0 && SAME_POINTER(field))
#define SAME_POINTER(field) (image.field == field##_bytes && golden_image.field == field##_bytes)

static ek_image opened;

int main(void) {
    ek_status status = ek_image_open(&opened, image_bytes, sizeof image_bytes);
    if (status != EK_OK) {
        printf("ek_image_open: %d\n", (int)status);
        return 1;
    }
    if (!(SAME(weights_bytes) && SAME(arena_bytes) && SAME(node_count) && SAME(word_count) &&
          SAME(tensor_count) && SAME(input) && SAME(output) && SAME(input_bytes) &&
          SAME(output_bytes))) {
        puts("a number of the constant image differs from the opened one");
        return 1;
    }
    if (!(EQUAL(ops) && EQUAL(weights) && EQUAL(plan))) {
        puts("a section differs");
        return 1;
    }
    if (golden_image.golden_count != opened.golden_count ||
        memcmp(golden_image.golden, opened.golden, sizeof golden_bytes) != 0 ||
        (golden_image.features == NULL) != (opened.features == NULL)) {
        puts("golden vectors differ");
        return 1;
    }
#ifdef HEAD
    if (head_image.head_node != opened.head_node ||
        memcmp(head_image.head, opened.head, sizeof head_bytes) != 0) {
        puts("the head differs");
        return 1;
    }
#endif
    return 0;
}
