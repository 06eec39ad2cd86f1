/* The least of ARP, IPv4 and UDP that talks to one peer. Pure: frames in, frames out. */
#ifndef EK_UDP_H
#define EK_UDP_H

#include <stddef.h>
#include <stdint.h>

enum { EK_UDP_HEADERS = 14 + 20 + 8, EK_UDP_PAYLOAD_MAX = 1400, EK_UDP_FRAME_MAX = 1536 };

typedef struct ek_udp {
    uint8_t mac[6];
    uint8_t ip[4];
    uint16_t port;
    uint8_t peer_mac[6];
    uint8_t peer_ip[4];
    uint8_t hop_ip[4]; /* whose hardware address is asked for: the peer or the router */
    uint16_t peer_port;
    uint16_t next_id;
    int resolved; /* peer_mac is known */
} ek_udp;

/* Writes an ARP question for hop_ip; returns the length of the frame. */
size_t ek_udp_ask(const ek_udp *udp, uint8_t *frame);

/* Writes a frame around n <= EK_UDP_PAYLOAD_MAX bytes; returns its length. */
size_t ek_udp_wrap(ek_udp *udp, const uint8_t *bytes, size_t n, uint8_t *frame);

/* Looks at a received frame. Learns from ARP; writes an ARP answer over the frame and sets *answer
 * to its length if one is due, else 0. Returns the payload within the frame and its length in *n,
 * or NULL if there is none for us. */
const uint8_t *ek_udp_unwrap(ek_udp *udp, uint8_t *frame, size_t length, size_t *n, size_t *answer);

#endif
