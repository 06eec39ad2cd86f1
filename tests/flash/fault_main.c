/* A program of its own on a board: it uses more stack than there is. */
#include "ek_port.h"

int main(void);

static int overflow(int depth) {
    volatile char pad[512];
    pad[0] = (char)depth;
    return overflow(depth + 1) + pad[0];
}

int main(void) {
    ek_port_init();
    return overflow(0);
}
