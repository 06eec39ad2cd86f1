/* What every port without an operating system does alike: start, console, arena, end. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "ek_bare.h"
#include "ek_port.h"
#include "ek_semihost.h"

enum { STACK_PAINT = 0x5aa5a55a, FRAME_WORDS = 32 };

extern uint32_t ek_stack_bottom[];
extern uint32_t ek_stack_top[];
extern uint32_t ek_data_start[];
extern uint32_t ek_data_end[];
extern const uint32_t ek_data_load[];
extern uint32_t ek_bss_start[];
extern uint32_t ek_bss_end[];

int main(void);

static __attribute__((section(".arena"), aligned(16))) uint8_t arena[EK_ARENA_BYTES];

_Noreturn void ek_start(void) {
    ek_core_init();
    const uint32_t *here = __builtin_frame_address(0);
    for (uint32_t *word = ek_stack_bottom; word < here - FRAME_WORDS; word++) {
        *word = STACK_PAINT;
    }
    const uint32_t *from = ek_data_load;
    for (uint32_t *word = ek_data_start; word < ek_data_end; word++) {
        *word = *from++;
    }
    for (uint32_t *word = ek_bss_start; word < ek_bss_end; word++) {
        *word = 0;
    }
    ek_port_exit(main());
    ek_semihost_exit(EK_FAULT_EXIT);
}

uint32_t ek_stack_used(void) {
    const uint32_t *word = ek_stack_bottom;
    while (word < ek_stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)ek_stack_top - (uintptr_t)word);
}

void ek_console_write(const char *text) {
    for (; *text != 0; text++) {
        ek_console_put(*text);
    }
}

void ek_console_write_hex(uint32_t value) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        ek_console_put("0123456789abcdef"[value >> shift & 15u]);
    }
}

void ek_console_write_number(uint32_t value) {
    char text[11];
    size_t at = sizeof text - 1;
    text[at] = 0;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    ek_console_write(text + at);
}

uint8_t *ek_port_arena(void) {
    return arena;
}

void ek_port_log(const char *line) {
    ek_console_write(line);
    ek_console_write("\n");
}

void ek_port_exit(int code) {
    ek_console_write("exit: stack used ");
    ek_console_write_number(ek_stack_used());
    ek_console_write(" bytes\n");
    ek_semihost_exit(code);
}
