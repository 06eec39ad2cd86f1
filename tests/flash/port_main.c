/* A program of its own on a port: the first byte of the bench region says which case to play. */
#include <string.h>

#include "board.h"
#include "ek_port.h"

int main(void);

static uint8_t buffer[1500];
static uint8_t back[1500];

/* Returns 42 if every datagram came back as it was. */
static int play_echo(const uint8_t *base) {
    const uint8_t *page = base + EK_FLASH_BENCH_OFFSET;
    const uint16_t port = (uint16_t)(page[2] | page[3] << 8);
    const uint8_t gateway[4] = {10, 0, 2, 2};
    if (ek_port_link_open(gateway, port) != EK_OK) {
        return 1;
    }
    for (uint32_t i = 0; i < sizeof buffer; i++) {
        buffer[i] = (uint8_t)(i * 7);
    }
    for (uint32_t round = 0; round < 200; round++) {
        const size_t n = round == 0 ? ek_port_link_mtu() : 1 + round * 37 % ek_port_link_mtu();
        buffer[0] = (uint8_t)round;
        if (ek_port_link_send(buffer, n) != EK_OK) {
            return 2;
        }
        const uint64_t deadline = ek_port_now_ms() + 5000;
        size_t got = 0;
        while (got == 0 && ek_port_now_ms() < deadline) {
            ek_port_idle(100);
            got = ek_port_link_receive(back, sizeof back);
        }
        if (got != n || memcmp(back, buffer, n) != 0) {
            return 3;
        }
    }
    return ek_port_link_send(buffer, ek_port_link_mtu() + 1) == EK_ERR_RANGE ? 42 : 4;
}

static int play_flash(const uint8_t *base) {
    const size_t at = EK_FLASH_LEARN_OFFSET;
    const uint8_t bytes[3] = {1, 2, 3};
    int right = ek_port_flash_erase(at, EK_FLASH_PAGE_BYTES) == EK_OK;
    right &= base[at] == 0xff && base[at + EK_FLASH_PAGE_BYTES - 1] == 0xff;
    right &= ek_port_flash_write(at + 5, bytes, 3) == EK_OK && memcmp(base + at + 5, bytes, 3) == 0;
    right &= ek_port_flash_write(at + 7, bytes, 3) == EK_ERR_FLASH;
    right &= base[at + 8] == 0xff;
    right &= ek_port_flash_erase(at + 1, EK_FLASH_PAGE_BYTES) == EK_ERR_RANGE;
    right &= ek_port_flash_erase(at, 1) == EK_ERR_RANGE;
    right &= ek_port_flash_erase(EK_PERSISTENT_BYTES, EK_FLASH_PAGE_BYTES) == EK_ERR_RANGE;
    right &= ek_port_flash_write(EK_PERSISTENT_BYTES - 2, bytes, 3) == EK_ERR_RANGE;
    return right ? 42 : 1;
}

static int overflow(int depth) {
    volatile char pad[512];
    pad[0] = (char)depth;
    return overflow(depth + 1) + pad[0];
}

/* Counts its boots in the state region and resets twice. */
static int play_reset(const uint8_t *base) {
    size_t boots = 0;
    const uint8_t mark = 0;
    while (base[EK_FLASH_STATE_OFFSET + boots] != 0xff) {
        boots++;
    }
    if (ek_port_flash_write(EK_FLASH_STATE_OFFSET + boots, &mark, 1) != EK_OK) {
        return 1;
    }
    if (boots < 2) {
        ek_port_log("reset");
        ek_port_reset();
    }
    return 42;
}

static int play_samples(void) {
    uint16_t label = 0;
    uint8_t raw[4];
    int right = ek_port_sample_count() == 3 && ek_port_sample_rewind() == EK_OK;
    for (uint8_t i = 0; i < 3; i++) {
        right &= ek_port_sample_next(raw, 5, &label) == EK_ERR_SHAPE;
        right &= ek_port_sample_next(raw, 4, &label) == EK_OK;
        right &= label == 1000 + i && raw[0] == 10 * i && raw[3] == 10 * i + 3;
    }
    right &= ek_port_sample_next(raw, 4, &label) == EK_ERR_STATE;
    right &= ek_port_sample_rewind() == EK_OK && ek_port_sample_next(raw, 4, &label) == EK_OK;
    return right && label == 1000 ? 42 : 1;
}

static int play_clock(void) {
    const uint64_t begin = ek_port_now_ms();
    const uint32_t ticks = ek_port_ticks();
    ek_port_idle(300);
    const uint64_t ms = ek_port_now_ms() - begin;
    const uint32_t passed = (ek_port_ticks() - ticks) / (EK_TICKS_HZ / 1000);
    return ms >= 300 && passed >= 300 && ms < 5000 ? 42 : 1;
}

static int play_random(void) {
    ek_port_random(buffer, 40);
    ek_port_random(back, 40);
    for (int i = 0; i < 40; i++) {
        static char line[3];
        line[0] = "0123456789abcdef"[buffer[i] >> 4];
        line[1] = "0123456789abcdef"[buffer[i] & 15];
        ek_port_log(line);
    }
    return memcmp(buffer, back, 40) != 0 ? 42 : 1;
}

int main(void) {
    ek_port_init();
    const uint8_t *base = ek_port_flash_base();
    memset(ek_port_arena(), 0xee, EK_ARENA_BYTES);
    switch (base[EK_FLASH_BENCH_OFFSET]) {
    case 1:
        return play_echo(base);
    case 2:
        return play_flash(base);
    case 3:
        return overflow(0);
    case 4:
        *(volatile uint32_t *)0x3f000000 = 1;
        return 1;
    case 5:
        return play_reset(base);
    case 6:
        return play_samples();
    case 7:
        return play_clock();
    case 8:
        return play_random();
    default:
        return 9;
    }
}
