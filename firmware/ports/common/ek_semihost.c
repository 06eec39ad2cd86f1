#include "ek_semihost.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0a,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20
};
enum { OPEN_READ_BINARY = 1, OPEN_UPDATE_BINARY = 3 };
enum { APPLICATION_EXIT = 0x20026 };

_Noreturn void ek_semihost_exit(int code) {
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) {
        (void)ek_semihost_call(SYS_EXIT_EXTENDED, block);
    }
}

static int32_t open(const char *name, size_t length, uint32_t mode) {
    const uintptr_t block[3] = {(uintptr_t)name, mode, length};
    return ek_semihost_call(SYS_OPEN, block);
}

int ek_semihost_random(uint8_t *bytes, size_t n) {
    static const char name[] = "/dev/urandom";
    const int32_t handle = open(name, sizeof name - 1, OPEN_READ_BINARY);
    if (handle < 0) {
        return -1;
    }
    const uintptr_t read_block[3] = {(uintptr_t)handle, (uintptr_t)bytes, n};
    const int32_t missing = ek_semihost_call(SYS_READ, read_block);
    const uintptr_t close_block[1] = {(uintptr_t)handle};
    (void)ek_semihost_call(SYS_CLOSE, close_block);
    return missing == 0 ? 0 : -1;
}

int32_t ek_semihost_open_argument(char *text, size_t capacity) {
    uintptr_t block[2] = {(uintptr_t)text, capacity};
    if (ek_semihost_call(SYS_GET_CMDLINE, block) != 0) {
        return -1;
    }
    size_t length = 0; /* the answered length counts the final 0 or not, as emulators differ */
    while (length < capacity && text[length] != 0) {
        length++;
    }
    return length == capacity ? -1 : open(text, length, OPEN_UPDATE_BINARY);
}

static int move(uint32_t operation, int32_t handle, uint32_t offset, uintptr_t bytes, size_t n) {
    const uintptr_t seek_block[2] = {(uintptr_t)handle, offset};
    const uintptr_t block[3] = {(uintptr_t)handle, bytes, n};
    if (ek_semihost_call(SYS_SEEK, seek_block) != 0) {
        return -1;
    }
    return ek_semihost_call(operation, block) == 0 ? 0 : -1;
}

int ek_semihost_read(int32_t handle, uint32_t offset, uint8_t *bytes, size_t n) {
    return move(SYS_READ, handle, offset, (uintptr_t)bytes, n);
}

int ek_semihost_write(int32_t handle, uint32_t offset, const uint8_t *bytes, size_t n) {
    return move(SYS_WRITE, handle, offset, (uintptr_t)bytes, n);
}
