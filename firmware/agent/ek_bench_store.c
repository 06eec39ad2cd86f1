/* The bench region of a board with an agent: a part of its persistent memory. */
#include "board.h"
#include "ek_bench.h"
#include "ek_port.h"

const uint8_t *ek_bench_image(uint32_t bytes) {
    return bytes <= EK_FLASH_SLOT_A_BYTES ? ek_port_flash_base() + EK_FLASH_SLOT_A_OFFSET : NULL;
}

int ek_bench_needs_buffer(void) {
    return 0;
}

const uint8_t *ek_bench_read(uint32_t offset, uint32_t n, uint8_t *buffer) {
    (void)n;
    (void)buffer;
    return ek_port_flash_base() + EK_FLASH_BENCH_OFFSET + offset;
}

ek_status ek_bench_write(uint32_t offset, const uint8_t *bytes, uint32_t n) {
    return ek_port_flash_write(EK_FLASH_BENCH_OFFSET + offset, bytes, n);
}
