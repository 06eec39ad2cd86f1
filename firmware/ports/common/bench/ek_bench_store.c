/* The bench region of a board without an agent: the file that the emulator's command line names. */
#include "board.h"
#include "ek_bench.h"
#include "ek_port.h"
#include "ek_semihost.h"

/* Handle of the file plus one; 0: not yet opened. */
static int32_t opened;

const uint8_t *ek_bench_image(uint32_t bytes) {
    extern const uint8_t ek_flash_used[];
    const uintptr_t room = (uintptr_t)EK_IMAGE_END - (uintptr_t)ek_flash_used;
    const uint32_t whole = (bytes + 15U) & ~UINT32_C(15);
    return bytes <= room && whole <= room ? (const uint8_t *)((uintptr_t)EK_IMAGE_END - whole)
                                          : NULL;
}

int ek_bench_needs_buffer(void) {
    return 1;
}

static int ready(void) {
    if (opened == 0) {
        /* Nothing else is in the arena before the first model runs. */
        opened = ek_semihost_open_argument((char *)ek_port_arena(), EK_ARENA_BYTES) + 1;
    }
    return opened > 0;
}

const uint8_t *ek_bench_read(uint32_t offset, uint32_t n, uint8_t *buffer) {
    return ready() && ek_semihost_read(opened - 1, offset, buffer, n) == 0 ? buffer : NULL;
}

ek_status ek_bench_write(uint32_t offset, const uint8_t *bytes, uint32_t n) {
    return ready() && ek_semihost_write(opened - 1, offset, bytes, n) == 0 ? EK_OK : EK_ERR_FLASH;
}
