#include "ek_sha512.h"

#include <string.h>

/* Source: FIPS 180-4, 5.3.5 (square roots of the first 8 primes). */
static const uint64_t start_state[8] = {
    0x6a09e667f3bcc908U, 0xbb67ae8584caa73bU, 0x3c6ef372fe94f82bU, 0xa54ff53a5f1d36f1U,
    0x510e527fade682d1U, 0x9b05688c2b3e6c1fU, 0x1f83d9abfb41bd6bU, 0x5be0cd19137e2179U,
};

/* Source: FIPS 180-4, 4.2.3 (cube roots of the first 80 primes). */
static const uint64_t round_constants[80] = {
    0x428a2f98d728ae22U, 0x7137449123ef65cdU, 0xb5c0fbcfec4d3b2fU, 0xe9b5dba58189dbbcU,
    0x3956c25bf348b538U, 0x59f111f1b605d019U, 0x923f82a4af194f9bU, 0xab1c5ed5da6d8118U,
    0xd807aa98a3030242U, 0x12835b0145706fbeU, 0x243185be4ee4b28cU, 0x550c7dc3d5ffb4e2U,
    0x72be5d74f27b896fU, 0x80deb1fe3b1696b1U, 0x9bdc06a725c71235U, 0xc19bf174cf692694U,
    0xe49b69c19ef14ad2U, 0xefbe4786384f25e3U, 0x0fc19dc68b8cd5b5U, 0x240ca1cc77ac9c65U,
    0x2de92c6f592b0275U, 0x4a7484aa6ea6e483U, 0x5cb0a9dcbd41fbd4U, 0x76f988da831153b5U,
    0x983e5152ee66dfabU, 0xa831c66d2db43210U, 0xb00327c898fb213fU, 0xbf597fc7beef0ee4U,
    0xc6e00bf33da88fc2U, 0xd5a79147930aa725U, 0x06ca6351e003826fU, 0x142929670a0e6e70U,
    0x27b70a8546d22ffcU, 0x2e1b21385c26c926U, 0x4d2c6dfc5ac42aedU, 0x53380d139d95b3dfU,
    0x650a73548baf63deU, 0x766a0abb3c77b2a8U, 0x81c2c92e47edaee6U, 0x92722c851482353bU,
    0xa2bfe8a14cf10364U, 0xa81a664bbc423001U, 0xc24b8b70d0f89791U, 0xc76c51a30654be30U,
    0xd192e819d6ef5218U, 0xd69906245565a910U, 0xf40e35855771202aU, 0x106aa07032bbd1b8U,
    0x19a4c116b8d2d0c8U, 0x1e376c085141ab53U, 0x2748774cdf8eeb99U, 0x34b0bcb5e19b48a8U,
    0x391c0cb3c5c95a63U, 0x4ed8aa4ae3418acbU, 0x5b9cca4f7763e373U, 0x682e6ff3d6b2b8a3U,
    0x748f82ee5defb2fcU, 0x78a5636f43172f60U, 0x84c87814a1f0ab72U, 0x8cc702081a6439ecU,
    0x90befffa23631e28U, 0xa4506cebde82bde9U, 0xbef9a3f7b2c67915U, 0xc67178f2e372532bU,
    0xca273eceea26619cU, 0xd186b8c721c0c207U, 0xeada7dd6cde0eb1eU, 0xf57d4f7fee6ed178U,
    0x06f067aa72176fbaU, 0x0a637dc5a2c898a6U, 0x113f9804bef90daeU, 0x1b710b35131c471bU,
    0x28db77f523047d84U, 0x32caab7b40c72493U, 0x3c9ebe0a15c9bebcU, 0x431d67c49c100d4cU,
    0x4cc5d4becb3e42b6U, 0x597f299cfc657e2aU, 0x5fcb6fab3ad6faecU, 0x6c44198c4a475817U,
};

static uint64_t rotate(uint64_t x, unsigned n) {
    return (x >> n) | (x << (64U - n));
}

static uint64_t load_big_endian(const uint8_t *p) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8U; i++) {
        value = (value << 8) | p[i];
    }
    return value;
}

static void store_big_endian(uint8_t *p, uint64_t value) {
    for (unsigned i = 0; i < 8U; i++) {
        p[i] = (uint8_t)((value >> (56U - 8U * i)) & 0xffU);
    }
}

/* Source: FIPS 180-4, 6.4.2. The message schedule is kept in a ring of 16 words. */
static void compress(uint64_t state[8], const uint8_t block[128]) {
    uint64_t w[16];
    uint64_t s[8];
    for (unsigned i = 0; i < 16U; i++) {
        w[i] = load_big_endian(block + 8U * i);
    }
    memcpy(s, state, sizeof s);
    for (unsigned t = 0; t < 80U; t++) {
        if (t >= 16U) {
            const uint64_t a = w[(t + 1U) & 15U];
            const uint64_t b = w[(t + 14U) & 15U];
            const uint64_t small0 = rotate(a, 1) ^ rotate(a, 8) ^ (a >> 7);
            const uint64_t small1 = rotate(b, 19) ^ rotate(b, 61) ^ (b >> 6);
            w[t & 15U] += small0 + w[(t + 9U) & 15U] + small1;
        }
        const uint64_t big1 = rotate(s[4], 14) ^ rotate(s[4], 18) ^ rotate(s[4], 41);
        const uint64_t choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
        const uint64_t t1 = s[7] + big1 + choose + round_constants[t] + w[t & 15U];
        const uint64_t big0 = rotate(s[0], 28) ^ rotate(s[0], 34) ^ rotate(s[0], 39);
        const uint64_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        memmove(s + 1, s, 7U * sizeof s[0]);
        s[4] += t1;
        s[0] = t1 + big0 + majority;
    }
    for (unsigned i = 0; i < 8U; i++) {
        state[i] += s[i];
    }
}

void ek_sha512_start(ek_sha512 *hash) {
    memcpy(hash->state, start_state, sizeof hash->state);
    hash->bytes = 0;
}

void ek_sha512_add(ek_sha512 *hash, const uint8_t *bytes, size_t n) {
    size_t at = (size_t)(hash->bytes & 127U);
    hash->bytes += n;
    for (size_t i = 0; i < n; i++) {
        hash->block[at++] = bytes[i];
        if (at == 128U) {
            compress(hash->state, hash->block);
            at = 0;
        }
    }
}

void ek_sha512_finish(ek_sha512 *hash, uint8_t digest[64]) {
    size_t at = (size_t)(hash->bytes & 127U);
    hash->block[at++] = 0x80U;
    if (at > 112U) {
        memset(hash->block + at, 0, 128U - at);
        compress(hash->state, hash->block);
        at = 0;
    }
    memset(hash->block + at, 0, 128U - at);
    store_big_endian(hash->block + 112, hash->bytes >> 61);
    store_big_endian(hash->block + 120, hash->bytes << 3);
    compress(hash->state, hash->block);
    for (unsigned i = 0; i < 8U; i++) {
        store_big_endian(digest + 8U * i, hash->state[i]);
    }
}
