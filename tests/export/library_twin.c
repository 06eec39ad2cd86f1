/* Compares the constant ek_image of a generated library with what ek_image_open finds. */
#include <stdio.h>
#include <string.h>

#include "model.c"

static ek_image opened;

int main(void) {
    ek_status status = ek_image_open(&opened, image_bytes, sizeof image_bytes);
    if (status != EK_OK) {
        printf("ek_image_open: %d\n", (int)status);
        return 1;
    }
    if (memcmp(&opened, &image, sizeof image) != 0) {
        puts("the constant image differs from the opened one");
        return 1;
    }
    return 0;
}
