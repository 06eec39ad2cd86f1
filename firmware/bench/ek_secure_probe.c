/* Start of a program that tells what a member of secure aggregation costs: a line of part and
 * ticks for keys, roster, one share, one share that is opened, quantizing with the own mask, and
 * the mask of one neighbour. Twin: tools/bench/federated_secure.py */
#include <string.h>

#include "../agent/ek_line.h"
#include "ek_port.h"
#include "ek_secure.h"
#include "ek_wire.h"
#include "monocypher.h"

enum { PEERS = 12, VALUES = 650, OBJECT_BYTES = 24 + 4 * (VALUES + 3) };

int main(void);

static uint8_t object[OBJECT_BYTES];
static float values[VALUES];
static ek_secure member;
static uint32_t started;

static void start(void) {
    started = ek_port_ticks();
}

static void say(const char *what, ek_status status) {
    const uint32_t ticks = ek_port_ticks() - started;
    ek_line line;
    ek_line_start(&line, "part ");
    ek_line_text(&line, what);
    ek_line_text(&line, " ");
    ek_line_number(&line, ticks);
    ek_line_text(&line, " ");
    ek_line_number(&line, (uint32_t)-status);
    ek_port_log(line.text);
}

static void put_head(uint16_t kind) {
    memcpy(object, "EKSA", 4);
    ek_wire_put_u16(object + 4, 1);
    ek_wire_put_u16(object + 6, kind);
    ek_wire_put_u64(object + 8, 1);
    ek_wire_put_u32(object + 16, 1);
    ek_wire_put_u32(object + 20, 0);
}

static size_t put_roster(void) {
    put_head(2);
    ek_wire_put_u16(object + 24, PEERS / 2 + 1);
    ek_wire_put_u16(object + 26, PEERS);
    ek_wire_put_u32(object + 28, 82595);
    ek_wire_put_f32(object + 32, 4.0f);
    ek_wire_put_u32(object + 36, 1000);
    for (uint32_t i = 0; i < PEERS; i++) {
        uint8_t *row = object + 40U + 68U * i;
        uint8_t secret[32] = {0};
        ek_wire_put_u32(row, i + 1U);
        for (uint32_t key = 0; key < 2U; key++) {
            ek_wire_put_u32(secret, 8U * (2U * i + key + 1U)); /* the lowest bits do not count */
            crypto_x25519_public_key(row + 4U + 32U * key, secret);
        }
    }
    return 40U + 68U * PEERS;
}

static size_t put_inbox(void) {
    put_head(4);
    ek_wire_put_u32(object + 24, PEERS);
    for (uint32_t i = 0; i < PEERS; i++) {
        uint8_t *row = object + 28U + 84U * i;
        memset(row, 0, 84); /* which is no share, and costs as much */
        ek_wire_put_u32(row, i + 1U);
    }
    return 28U + 84U * PEERS;
}

int main(void) {
    const ek_mask_place place = {1, 1};
    const ek_mask_facts facts = {60, 1.0f, 0.5f};
    const uint8_t root[32] = {1, 2, 3};
    ek_port_init();
    start();
    ek_secure_begin(&member, &place, root, object);
    say("keys", EK_OK);
    size_t n = put_roster();
    start();
    ek_status status = ek_secure_roster(&member, object, n);
    say("roster", status);
    start();
    status = ek_secure_share(&member, 0, object);
    say("share", status);
    n = put_inbox();
    (void)ek_secure_inbox(&member, object, n);
    start();
    status = ek_secure_open(&member, 0, object);
    say("open", status);
    start();
    n = ek_secure_masked(&member, &facts, values, VALUES, object);
    say("masked", EK_OK);
    start();
    status = ek_secure_mask(&member, 0, object, n);
    say("mask", status);
    ek_port_exit(0);
    return 0;
}
