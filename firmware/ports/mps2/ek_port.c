/* The port to Arm's emulated MPS2 and MPS3 boards, whose chips differ in addresses and clock.
 * Interrupts are never taken; ek_port_idle sleeps until one is pending. Persistent memory is a RAM
 * that the emulator backs by a file; flash rules are kept by the functions below. */
#include "ek_port.h"

#include <string.h>

#include "board.h"
#include "ek_bare.h"
#include "ek_clock.h"
#include "ek_lan9118.h"
#include "ek_semihost.h"
#include "ek_udp.h"
#include "monocypher.h"

/* CMSDK peripherals. Source: Arm DDI 0479, Cortex-M System Design Kit, 4.3 and 4.4. */
enum { UART_DATA = 0x00, UART_STATE = 0x04, UART_CTRL = 0x08, UART_BAUD = 0x10 };
enum { WATCHDOG_LOAD = 0x00, WATCHDOG_CTRL = 0x08, WATCHDOG_INTCLEAR = 0x0c };
enum { WATCHDOG_ON = 3 }; /* first expiry interrupts, second resets */

enum { NVIC_ENABLE = 0xe000e100, NVIC_DISABLE = 0xe000e180, NVIC_CLEAR_PENDING = 0xe000e280 };

enum { TICKS_PER_MS = EK_TICKS_HZ / 1000, WATCHDOG_S = 60 };
enum { ARP_WAIT_MS = 1000, LOCAL_PORT = 4210 };
enum { SAMPLES_HEADER_BYTES = 16, ENTROPY_OFFSET = 120, ENTROPY_BYTES = 32 };

static struct {
    uint32_t last_ticks;
    uint64_t total_ticks;
    uint64_t random_counter;
    uint32_t sample;
    int link_ready;
    ek_udp udp;
    uint32_t transmit[EK_UDP_FRAME_MAX / 4];
    uint32_t receive[EK_UDP_FRAME_MAX / 4];
} state;

static uint8_t *persistent(void) {
    return (uint8_t *)(uintptr_t)EK_PERSISTENT_BASE;
}

void ek_console_put(char character) {
    while ((*ek_register(EK_UART + UART_STATE) & 1u) != 0) {
    }
    *ek_register(EK_UART + UART_DATA) = (uint8_t)character;
}

/* Time. */

void ek_port_init(void) {
    *ek_register(EK_UART + UART_BAUD) = 16;
    *ek_register(EK_UART + UART_CTRL) = 1;
    ek_clock_start();
    state.last_ticks = ek_port_ticks();
}

/* Right as long as it is called once per period of the counter, 134 s or more; ek_port_idle and the
 * watchdog do. */
uint64_t ek_port_now_ms(void) {
    const uint32_t now = ek_port_ticks();
    state.total_ticks += (uint32_t)(now - state.last_ticks);
    state.last_ticks = now;
    return state.total_ticks / TICKS_PER_MS;
}

/* Writes the bits of both wakers into a register file of the interrupt controller. */
static void wakers(uint32_t registers) {
    *ek_register(registers + EK_IRQ_ALARM / 32 * 4) = UINT32_C(1) << EK_IRQ_ALARM % 32;
    *ek_register(registers + EK_IRQ_ETHERNET / 32 * 4) = UINT32_C(1) << EK_IRQ_ETHERNET % 32;
}

void ek_port_idle(uint32_t timeout_ms) {
    const uint32_t ms = timeout_ms < 60000 ? timeout_ms : 60000;
    (void)ek_port_now_ms();
    if (ms == 0) {
        return;
    }
    ek_clock_alarm_off();
    wakers(NVIC_CLEAR_PENDING);
    wakers(NVIC_ENABLE);
    if (state.link_ready) {
        ek_lan9118_interrupt(1);
    }
    ek_clock_alarm(ms * TICKS_PER_MS);
    if (!state.link_ready || !ek_lan9118_waiting()) {
        __asm__ volatile("dsb\n wfi" ::: "memory");
    }
    ek_clock_alarm_off();
    if (state.link_ready) {
        ek_lan9118_interrupt(0);
    }
    wakers(NVIC_DISABLE);
    wakers(NVIC_CLEAR_PENDING);
    (void)ek_port_now_ms();
}

/* Link. */

size_t ek_port_link_mtu(void) {
    return EK_UDP_PAYLOAD_MAX;
}

/* Takes one frame from the controller; a payload for us, or NULL. *more is 0 when nothing waits. */
static const uint8_t *take_frame(size_t *n, int *more) {
    const size_t length = ek_lan9118_receive(state.receive, sizeof state.receive);
    *more = length != 0;
    *n = 0;
    if (length == 0) {
        return NULL;
    }
    size_t answer = 0;
    const uint8_t *payload =
        ek_udp_unwrap(&state.udp, (uint8_t *)state.receive, length, n, &answer);
    if (answer != 0) {
        (void)ek_lan9118_send(state.receive, answer);
    }
    return payload;
}

ek_status ek_port_link_open(const uint8_t ipv4[4], uint16_t udp_port) {
    static const uint8_t own_ip[4] = {10, 0, 2, 15};
    static const uint8_t router_ip[4] = {10, 0, 2, 2};
    memset(&state.udp, 0, sizeof state.udp);
    const ek_status status = ek_lan9118_init(state.udp.mac);
    if (status != EK_OK) {
        return status;
    }
    state.link_ready = 1;
    memcpy(state.udp.ip, own_ip, 4);
    memcpy(state.udp.peer_ip, ipv4, 4);
    memcpy(state.udp.hop_ip, memcmp(ipv4, own_ip, 3) == 0 ? ipv4 : router_ip, 4);
    state.udp.port = LOCAL_PORT;
    state.udp.peer_port = udp_port;
    const uint64_t deadline = ek_port_now_ms() + ARP_WAIT_MS;
    uint64_t ask_at = 0;
    while (!state.udp.resolved && ek_port_now_ms() < deadline) {
        if (ek_port_now_ms() >= ask_at) {
            const size_t length = ek_udp_ask(&state.udp, (uint8_t *)state.transmit);
            (void)ek_lan9118_send(state.transmit, length);
            ask_at = ek_port_now_ms() + ARP_WAIT_MS / 5;
        }
        size_t n = 0;
        int more = 0;
        (void)take_frame(&n, &more);
        if (!more) {
            ek_port_idle(10);
        }
    }
    return state.udp.resolved ? EK_OK : EK_ERR_TIMEOUT;
}

ek_status ek_port_link_send(const uint8_t *bytes, size_t length) {
    if (length > EK_UDP_PAYLOAD_MAX) {
        return EK_ERR_RANGE;
    }
    if (!state.udp.resolved) {
        return EK_ERR_STATE;
    }
    const size_t n = ek_udp_wrap(&state.udp, bytes, length, (uint8_t *)state.transmit);
    return ek_lan9118_send(state.transmit, n);
}

size_t ek_port_link_receive(uint8_t *bytes, size_t capacity) {
    int more = state.udp.resolved;
    while (more) {
        size_t n = 0;
        const uint8_t *payload = take_frame(&n, &more);
        if (payload != NULL && n <= capacity && n != 0) {
            memcpy(bytes, payload, n);
            return n;
        }
    }
    return 0;
}

/* Persistent memory. */

const uint8_t *ek_port_flash_base(void) {
    return persistent();
}

ek_status ek_port_flash_erase(size_t offset, size_t bytes) {
    if (offset % EK_FLASH_PAGE_BYTES != 0 || bytes % EK_FLASH_PAGE_BYTES != 0 ||
        offset > EK_PERSISTENT_BYTES || bytes > EK_PERSISTENT_BYTES - offset) {
        return EK_ERR_RANGE;
    }
    memset(persistent() + offset, 0xff, bytes);
    return EK_OK;
}

ek_status ek_port_flash_write(size_t offset, const uint8_t *bytes, size_t n) {
    if (offset > EK_PERSISTENT_BYTES || n > EK_PERSISTENT_BYTES - offset) {
        return EK_ERR_RANGE;
    }
    uint8_t *to = persistent() + offset;
    for (size_t i = 0; i < n; i++) {
        if (to[i] != 0xff) {
            return EK_ERR_FLASH;
        }
    }
    memcpy(to, bytes, n);
    return EK_OK;
}

/* Mixes the generator of the emulating machine, the entropy of the provisioning page, the clock and
 * a counter. */
void ek_port_random(uint8_t *bytes, size_t n) {
    while (n > 0) {
        uint8_t seed[32 + ENTROPY_BYTES + 16] = {0};
        uint8_t block[32];
        const uint32_t ticks = ek_port_ticks();
        (void)ek_semihost_random(seed, 32);
        memcpy(seed + 32, persistent() + EK_FLASH_PROVISION_OFFSET + ENTROPY_OFFSET, ENTROPY_BYTES);
        memcpy(seed + 64, &state.random_counter, 8);
        memcpy(seed + 72, &ticks, 4);
        state.random_counter++;
        crypto_blake2b(block, sizeof block, seed, sizeof seed);
        const size_t part = n < sizeof block ? n : sizeof block;
        memcpy(bytes, block, part);
        crypto_wipe(seed, sizeof seed);
        crypto_wipe(block, sizeof block);
        bytes += part;
        n -= part;
    }
}

/* Samples: PROTOCOL.md, "Samples". */

static uint32_t get32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t sample_raw_bytes(void) {
    return get32(persistent() + EK_FLASH_SAMPLES_OFFSET + 12);
}

size_t ek_port_sample_count(void) {
    const uint8_t *header = persistent() + EK_FLASH_SAMPLES_OFFSET;
    if (memcmp(header, "EKSM\1\0\0\0", 8) != 0) {
        return 0;
    }
    const uint32_t count = get32(header + 8);
    const uint64_t bytes = (uint64_t)count * ((uint64_t)sample_raw_bytes() + 2);
    return bytes <= EK_FLASH_SAMPLES_BYTES - SAMPLES_HEADER_BYTES ? count : 0;
}

ek_status ek_port_sample_rewind(void) {
    state.sample = 0;
    return EK_OK;
}

ek_status ek_port_sample_next(uint8_t *raw, size_t raw_bytes, uint16_t *label) {
    if (state.sample >= ek_port_sample_count()) {
        return EK_ERR_STATE;
    }
    if (raw_bytes != sample_raw_bytes()) {
        return EK_ERR_SHAPE;
    }
    const uint8_t *at = persistent() + EK_FLASH_SAMPLES_OFFSET + SAMPLES_HEADER_BYTES +
                        (size_t)state.sample * (raw_bytes + 2);
    *label = (uint16_t)(at[0] | at[1] << 8);
    memcpy(raw, at + 2, raw_bytes);
    state.sample++;
    return EK_OK;
}

uint32_t ek_port_battery_mv(void) {
    return 0; /* fed by its host */
}

/* Life and death. */

void ek_port_watchdog_feed(void) {
    (void)ek_port_now_ms();
    *ek_register(EK_WATCHDOG + WATCHDOG_LOAD) = WATCHDOG_S * EK_WATCHDOG_HZ;
    *ek_register(EK_WATCHDOG + WATCHDOG_INTCLEAR) = 1;
    *ek_register(EK_WATCHDOG + WATCHDOG_CTRL) = WATCHDOG_ON;
}
