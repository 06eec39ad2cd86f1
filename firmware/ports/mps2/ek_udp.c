/* Source: RFC 826 (ARP), RFC 791 (IPv4), RFC 768 (UDP), RFC 1071 (checksum). */
#include "ek_udp.h"

#include <string.h>

enum { ARP_BYTES = 42, FRAME_MIN = 60 };
enum { ETHER_IPV4 = 0x0800, ETHER_ARP = 0x0806, PROTOCOL_UDP = 17 };

static void put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get16(const uint8_t *at) {
    return ((uint32_t)at[0] << 8) | at[1];
}

static uint32_t sum16(const uint8_t *bytes, size_t n, uint32_t sum) {
    for (size_t i = 0; i + 1 < n; i += 2) {
        sum += get16(bytes + i);
    }
    if (n % 2 != 0) {
        sum += (uint32_t)bytes[n - 1] << 8;
    }
    return sum;
}

static uint32_t fold(uint32_t sum) {
    while (sum >> 16 != 0) {
        sum = (sum & 0xffffu) + (sum >> 16);
    }
    return ~sum & 0xffffu;
}

static void write_arp(const ek_udp *udp, uint32_t operation, const uint8_t to_mac[6],
                      const uint8_t to_ip[4], uint8_t *frame) {
    static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
    memset(frame, 0, FRAME_MIN);
    memcpy(frame + 6, udp->mac, 6);
    put16(frame + 12, ETHER_ARP);
    memcpy(frame + 14, ethernet_ipv4, 6);
    put16(frame + 20, operation);
    memcpy(frame + 22, udp->mac, 6);
    memcpy(frame + 28, udp->ip, 4);
    memcpy(frame + 38, to_ip, 4);
    if (operation == 1) {
        memset(frame, 0xff, 6);
    } else {
        memcpy(frame, to_mac, 6);
        memcpy(frame + 32, to_mac, 6);
    }
}

size_t ek_udp_ask(const ek_udp *udp, uint8_t *frame) {
    write_arp(udp, 1, udp->mac, udp->hop_ip, frame);
    return FRAME_MIN;
}

size_t ek_udp_wrap(ek_udp *udp, const uint8_t *bytes, size_t n, uint8_t *frame) {
    uint8_t *ip = frame + 14;
    uint8_t *datagram = ip + 20;
    memset(frame, 0, FRAME_MIN);
    memcpy(frame, udp->peer_mac, 6);
    memcpy(frame + 6, udp->mac, 6);
    put16(frame + 12, ETHER_IPV4);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)(28 + n));
    put16(ip + 4, udp->next_id++);
    put16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    memcpy(ip + 12, udp->ip, 4);
    memcpy(ip + 16, udp->peer_ip, 4);
    put16(ip + 10, fold(sum16(ip, 20, 0)));
    put16(datagram, udp->port);
    put16(datagram + 2, udp->peer_port);
    put16(datagram + 4, (uint32_t)(8 + n));
    memcpy(datagram + 8, bytes, n);
    const uint32_t pseudo = sum16(ip + 12, 8, PROTOCOL_UDP + (uint32_t)(8 + n));
    const uint32_t checksum = fold(sum16(datagram, 8 + n, pseudo));
    put16(datagram + 6, checksum == 0 ? 0xffffu : checksum);
    const size_t length = EK_UDP_HEADERS + n;
    return length < FRAME_MIN ? FRAME_MIN : length;
}

static void take_arp(ek_udp *udp, uint8_t *frame, size_t *answer) {
    const uint32_t operation = get16(frame + 20);
    if (memcmp(frame + 28, udp->hop_ip, 4) == 0) {
        memcpy(udp->peer_mac, frame + 22, 6);
        udp->resolved = 1;
    }
    if (operation == 1 && memcmp(frame + 38, udp->ip, 4) == 0) {
        uint8_t mac[6];
        uint8_t ip[4];
        memcpy(mac, frame + 22, 6);
        memcpy(ip, frame + 28, 4);
        write_arp(udp, 2, mac, ip, frame);
        *answer = FRAME_MIN;
    }
}

const uint8_t *ek_udp_unwrap(ek_udp *udp, uint8_t *frame, size_t length, size_t *n,
                             size_t *answer) {
    *n = 0;
    *answer = 0;
    if (length < ARP_BYTES) {
        return NULL;
    }
    const uint32_t kind = get16(frame + 12);
    if (kind == ETHER_ARP) {
        take_arp(udp, frame, answer);
        return NULL;
    }
    const uint8_t *ip = frame + 14;
    const uint8_t *datagram = ip + 20;
    const size_t total = get16(ip + 2);
    const int whole = (get16(ip + 6) & 0x3fffu) == 0;
    if (kind != ETHER_IPV4 || ip[0] != 0x45 || total < 28 || total > length - 14 || !whole ||
        ip[9] != PROTOCOL_UDP || fold(sum16(ip, 20, 0)) != 0) {
        return NULL;
    }
    const size_t datagram_bytes = get16(datagram + 4);
    if (memcmp(ip + 16, udp->ip, 4) != 0 || memcmp(ip + 12, udp->peer_ip, 4) != 0 ||
        get16(datagram) != udp->peer_port || get16(datagram + 2) != udp->port ||
        datagram_bytes < 8 || datagram_bytes > total - 20) {
        return NULL;
    }
    *n = datagram_bytes - 8;
    return datagram + 8;
}
