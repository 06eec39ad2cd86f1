#include "ek_semihost.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { OPEN_READ_BINARY = 1 };
enum { APPLICATION_EXIT = 0x20026 };

static int32_t call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

_Noreturn void ek_semihost_exit(int code) {
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) {
        (void)call(SYS_EXIT_EXTENDED, block);
    }
}

int ek_semihost_random(uint8_t *bytes, size_t n) {
    static const char name[] = "/dev/urandom";
    const uintptr_t open_block[3] = {(uintptr_t)name, OPEN_READ_BINARY, sizeof name - 1};
    const int32_t handle = call(SYS_OPEN, open_block);
    if (handle < 0) {
        return -1;
    }
    const uintptr_t read_block[3] = {(uintptr_t)handle, (uintptr_t)bytes, n};
    const int32_t missing = call(SYS_READ, read_block);
    const uintptr_t close_block[1] = {(uintptr_t)handle};
    (void)call(SYS_CLOSE, close_block);
    return missing == 0 ? 0 : -1;
}
