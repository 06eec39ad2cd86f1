/* Claiming: the one-use token of the provisioning page becomes a device key.
 * Source: firmware/link/PROTOCOL.md, Claiming. Twin: edgekit/fleet/identity.py */
#include <string.h>

#include "../link/ek_wire.h"
#include "ek_agent.h"
#include "ek_port.h"
#include "monocypher.h"

/* BLAKE2b keyed with the token's secret over label | id | parts. */
static void token_hash_start(crypto_blake2b_ctx *hash, const ek_agent *agent, size_t n,
                             const char *label) {
    crypto_blake2b_keyed_init(hash, n, agent->provision.secret, 32);
    crypto_blake2b_update(hash, (const uint8_t *)label, strlen(label));
}

static void add_id(crypto_blake2b_ctx *hash, const ek_agent *agent) {
    crypto_blake2b_update(hash, (const uint8_t *)agent->provision.id, strlen(agent->provision.id));
}

ek_status ek_claim_prepare(ek_agent *agent) {
    ek_state *state = &agent->state;
    const bool same = memcmp(state->token, agent->provision.token, sizeof state->token) == 0;
    if (same && (state->claimed || state->has_claim_secret)) {
        return EK_OK;
    }
    /* The key pair is kept before it is used: the token is bound to the first one that the server
     * sees. */
    uint8_t random[32];
    uint8_t boot[4];
    crypto_blake2b_ctx hash;
    ek_port_random(random, sizeof random);
    ek_wire_put_u32(boot, state->boot);
    crypto_blake2b_keyed_init(&hash, 32, agent->provision.entropy, 32);
    crypto_blake2b_update(&hash, random, sizeof random);
    crypto_blake2b_update(&hash, boot, sizeof boot);
    crypto_blake2b_final(&hash, state->claim_secret);
    memcpy(state->token, agent->provision.token, sizeof state->token);
    state->has_claim_secret = true;
    state->claimed = false;
    crypto_wipe(random, sizeof random);
    return ek_state_save(state);
}

ek_status ek_claim_send(ek_agent *agent) {
    uint8_t key[32];
    uint8_t code[16];
    crypto_blake2b_ctx hash;
    size_t n = 0;
    crypto_x25519_public_key(key, agent->state.claim_secret);
    token_hash_start(&hash, agent, sizeof code, "ek-claim-request");
    add_id(&hash, agent);
    crypto_blake2b_update(&hash, key, sizeof key);
    crypto_blake2b_final(&hash, code);
    ek_status status = ek_claim_request_write(
        agent->provision.token, key, code, ek_agent_content(agent), ek_agent_content_bytes(), &n);
    return status == EK_OK ? ek_agent_send(agent, EK_FRAME_CLAIM_REQUEST, n) : status;
}

ek_status ek_claim_answer(ek_agent *agent, const uint8_t *content, size_t n) {
    const uint8_t *server_key = NULL;
    const uint8_t *server_code = NULL;
    uint8_t key[32];
    uint8_t code[16];
    static const uint8_t no_secret[32] = {0};
    uint8_t shared[32];
    crypto_blake2b_ctx hash;
    ek_status status = ek_claim_response_read(content, n, &server_key, &server_code);
    if (status != EK_OK) {
        return status;
    }
    crypto_x25519_public_key(key, agent->state.claim_secret);
    token_hash_start(&hash, agent, sizeof code, "ek-claim-response");
    add_id(&hash, agent);
    crypto_blake2b_update(&hash, key, sizeof key);
    crypto_blake2b_update(&hash, server_key, 32);
    crypto_blake2b_final(&hash, code);
    if (crypto_verify16(code, server_code) != 0) {
        return EK_ERR_MAC;
    }
    ek_state next = agent->state;
    crypto_x25519(shared, agent->state.claim_secret, server_key);
    if (crypto_verify32(shared, no_secret) == 0) {
        return EK_ERR_MAC; /* a key of low order; RFC 7748, 6.1 */
    }
    token_hash_start(&hash, agent, 32, "ek-device-key");
    crypto_blake2b_update(&hash, shared, sizeof shared);
    crypto_blake2b_update(&hash, key, sizeof key);
    crypto_blake2b_update(&hash, server_key, 32);
    crypto_blake2b_final(&hash, next.device_key);
    crypto_wipe(shared, sizeof shared);
    next.claimed = true;
    next.has_claim_secret = false;
    crypto_wipe(next.claim_secret, sizeof next.claim_secret);
    status = ek_state_save(&next);
    if (status == EK_OK) {
        agent->state = next;
    }
    crypto_wipe(&next, sizeof next);
    return status;
}
