/* The host port: a virtual device is this program. A file is its flash, a UDP socket its link.
 *
 *     agent --flash FILE [--samples FILE] [--battery FILE]
 *
 * The file of the battery says microvolts, as voltage_now of Linux's power supplies does.
 *
 * The process ends on SIGTERM and SIGINT, and when the process that started it is gone. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "ek_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../link/ek_frame.h"
#include "../../link/ek_wire.h"
#include "board.h"

#define USAGE "--flash FILE [--samples FILE] [--battery FILE]"
#define SAMPLES_HEAD_BYTES 16U
#define ARGUMENTS_MAX 8192U
#define FLASH_BYTES (EK_FLASH_SLOT_B_OFFSET + EK_FLASH_SLOT_B_BYTES)

typedef struct mapped {
    uint8_t *bytes;
    size_t n;
} mapped;

static mapped flash;
static mapped samples;
static uint32_t sample_count;
static uint32_t sample_bytes;
static uint32_t sample_next;
static int battery_file = -1;
static int link_socket = -1;
static pid_t parent;
static struct timespec started;
static volatile sig_atomic_t stop_wanted;
static _Alignas(16) uint8_t arena[EK_ARENA_BYTES];

static void die(const char *what, const char *about) {
    (void)fprintf(stderr, "agent: %s: %s\n", about, what);
    exit(1);
}

static void on_signal(int number) {
    (void)number;
    stop_wanted = 1;
}

/* Ends the process if it was asked to, or if it is an orphan. PR_SET_PDEATHSIG is not used: it
 * fires when the thread that started us ends, not the process. */
static void check_alive(void) {
    if (stop_wanted != 0) {
        ek_port_exit(0);
    }
    if (getppid() != parent) {
        ek_port_exit(1);
    }
}

static mapped map_file(const char *path, int writable) {
    mapped map = {NULL, 0};
    struct stat status;
    int file = open(path, writable ? O_RDWR : O_RDONLY);
    if (file < 0 || fstat(file, &status) != 0) {
        die(strerror(errno), path);
    }
    map.n = (size_t)status.st_size;
    if (map.n == 0U) {
        die("file is empty", path);
    }
    void *bytes =
        mmap(NULL, map.n, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) {
        die(strerror(errno), path);
    }
    map.bytes = bytes;
    (void)close(file);
    return map;
}

/* Proves the head of the samples; a region without them is no samples. */
static void open_samples(const uint8_t *bytes, size_t n, const char *about) {
    if (n < SAMPLES_HEAD_BYTES || memcmp(bytes, "EKSM", 4) != 0) {
        if (about != NULL) {
            die("no sample file", about);
        }
        return;
    }
    const uint32_t count = ek_wire_get_u32(bytes + 8);
    const uint32_t raw_bytes = ek_wire_get_u32(bytes + 12);
    const uint64_t needed = (uint64_t)count * ((uint64_t)raw_bytes + 2U) + SAMPLES_HEAD_BYTES;
    if (ek_wire_get_u16(bytes + 4) != 1U || needed > n) {
        die("sample file has another version or is cut", about == NULL ? "flash" : about);
    }
    sample_count = count;
    sample_bytes = raw_bytes;
}

/* The arguments of the process, since main belongs to the agent. */
static const char *find_argument(const char *arguments, size_t n, const char *name) {
    size_t at = strlen(arguments) + 1U;
    while (at < n) {
        const size_t value_at = at + strlen(arguments + at) + 1U;
        if (value_at >= n) {
            die("wants a value; usage: agent " USAGE, arguments + at);
        }
        if (strcmp(arguments + at, name) == 0) {
            return arguments + value_at;
        }
        if (strcmp(arguments + at, "--flash") != 0 && strcmp(arguments + at, "--samples") != 0 &&
            strcmp(arguments + at, "--battery") != 0) {
            die("unknown argument; usage: agent " USAGE, arguments + at);
        }
        at = value_at + strlen(arguments + value_at) + 1U;
    }
    return NULL;
}

static void watch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

void ek_port_init(void) {
    char arguments[ARGUMENTS_MAX];
    parent = getppid();
    (void)clock_gettime(CLOCK_MONOTONIC, &started);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    watch_signals();
    int file = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = file < 0 ? -1 : read(file, arguments, sizeof arguments - 1U);
    if (n <= 0 || (size_t)n >= sizeof arguments - 1U) {
        die("arguments cannot be read", "/proc/self/cmdline");
    }
    (void)close(file);
    arguments[n] = '\0';
    const char *flash_path = find_argument(arguments, (size_t)n, "--flash");
    const char *samples_path = find_argument(arguments, (size_t)n, "--samples");
    const char *battery_path = find_argument(arguments, (size_t)n, "--battery");
    if (battery_path != NULL) {
        battery_file = open(battery_path, O_RDONLY);
        if (battery_file < 0) {
            die(strerror(errno), battery_path);
        }
    }
    if (flash_path == NULL) {
        die("--flash FILE is missing", "arguments");
    }
    flash = map_file(flash_path, 1);
    if (flash.n < FLASH_BYTES) {
        die("file is smaller than the board's flash", flash_path);
    }
    if (samples_path != NULL) {
        samples = map_file(samples_path, 0);
    } else if (flash.n > EK_FLASH_SAMPLES_OFFSET) {
        const size_t behind = flash.n - EK_FLASH_SAMPLES_OFFSET;
        samples.bytes = flash.bytes + EK_FLASH_SAMPLES_OFFSET;
        samples.n = behind < EK_FLASH_SAMPLES_BYTES ? behind : EK_FLASH_SAMPLES_BYTES;
    }
    open_samples(samples.bytes, samples.n, samples_path);
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)(now.tv_sec - started.tv_sec) * 1000000000U + (uint64_t)now.tv_nsec -
           (uint64_t)started.tv_nsec;
}

uint64_t ek_port_now_ms(void) {
    return nanoseconds() / 1000000U;
}

uint32_t ek_port_ticks(void) {
    return (uint32_t)nanoseconds();
}

ek_status ek_port_link_open(const uint8_t ipv4[4], uint16_t udp_port) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(udp_port);
    memcpy(&address.sin_addr, ipv4, 4);
    link_socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link_socket < 0 || connect(link_socket, (struct sockaddr *)&address, sizeof address) != 0) {
        return EK_ERR_STATE;
    }
    return EK_OK;
}

ek_status ek_port_link_send(const uint8_t *bytes, size_t length) {
    /* Refused means that a gateway is not there yet, which shows in the answer that does not come.
     */
    ssize_t sent = send(link_socket, bytes, length, MSG_NOSIGNAL);
    return sent == (ssize_t)length ? EK_OK : EK_ERR_STATE;
}

size_t ek_port_link_receive(uint8_t *bytes, size_t capacity) {
    ssize_t n = recv(link_socket, bytes, capacity, MSG_TRUNC);
    return n > 0 && (size_t)n <= capacity ? (size_t)n : 0U;
}

size_t ek_port_link_mtu(void) {
    return EK_FRAME_MAX;
}

void ek_port_idle(uint32_t timeout_ms) {
    struct pollfd wait = {.fd = link_socket, .events = POLLIN, .revents = 0};
    check_alive();
    (void)poll(&wait, 1, timeout_ms < 1000U ? (int)timeout_ms : 1000);
    check_alive();
}

const uint8_t *ek_port_flash_base(void) {
    return flash.bytes;
}

ek_status ek_port_flash_erase(size_t offset, size_t bytes) {
    if (offset % EK_FLASH_PAGE_BYTES != 0U || bytes % EK_FLASH_PAGE_BYTES != 0U ||
        offset > flash.n || bytes > flash.n - offset) {
        return EK_ERR_FLASH;
    }
    memset(flash.bytes + offset, 0xff, bytes);
    return EK_OK;
}

ek_status ek_port_flash_write(size_t offset, const uint8_t *bytes, size_t n) {
    if (offset > flash.n || n > flash.n - offset) {
        return EK_ERR_FLASH;
    }
    for (size_t i = 0; i < n; i++) {
        if (flash.bytes[offset + i] != 0xffU) {
            return EK_ERR_FLASH; /* real flash would clear bits only */
        }
    }
    memcpy(flash.bytes + offset, bytes, n);
    return EK_OK;
}

uint8_t *ek_port_arena(void) {
    return arena;
}

void ek_port_random(uint8_t *bytes, size_t n) {
    size_t at = 0;
    while (at < n) {
        ssize_t got = getrandom(bytes + at, n - at, 0);
        if (got < 0 && errno != EINTR) {
            die(strerror(errno), "getrandom");
        }
        at += got > 0 ? (size_t)got : 0U;
    }
}

size_t ek_port_sample_count(void) {
    return sample_count;
}

ek_status ek_port_sample_rewind(void) {
    sample_next = 0;
    return EK_OK;
}

ek_status ek_port_sample_next(uint8_t *raw, size_t raw_bytes, uint16_t *label) {
    if (raw_bytes != sample_bytes) {
        return EK_ERR_SHAPE;
    }
    if (sample_next >= sample_count) {
        return EK_ERR_STATE;
    }
    const uint8_t *sample =
        samples.bytes + SAMPLES_HEAD_BYTES + (size_t)sample_next * (2U + raw_bytes);
    *label = ek_wire_get_u16(sample);
    memcpy(raw, sample + 2, raw_bytes);
    sample_next++;
    return EK_OK;
}

uint32_t ek_port_battery_mv(void) {
    char text[24];
    const ssize_t n = battery_file < 0 ? 0 : pread(battery_file, text, sizeof text - 1U, 0);
    text[n > 0 ? n : 0] = '\0';
    const unsigned long millivolts = strtoul(text, NULL, 10) / 1000U;
    return millivolts > UINT32_MAX ? 0U : (uint32_t)millivolts;
}

void ek_port_log(const char *line) {
    (void)puts(line);
}

void ek_port_watchdog_feed(void) {
    check_alive();
}

void ek_port_reset(void) {
    /* Whoever runs virtual devices starts them again. */
    ek_port_exit(0);
}

void ek_port_exit(int code) {
    if (flash.bytes != NULL) {
        (void)msync(flash.bytes, flash.n, MS_SYNC);
    }
    (void)fflush(stdout);
    exit(code);
}
