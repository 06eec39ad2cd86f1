/* Source: SMSC LAN9118 datasheet, revision 1.5 (07-11-08), chapters 3 and 5. */
#include "ek_lan9118.h"

#include "board.h"
#include "ek_bare.h"

enum {
    RX_DATA = 0x00,
    TX_DATA = 0x20,
    RX_STATUS = 0x40,
    TX_STATUS = 0x48,
    IRQ_CFG = 0x54,
    INT_STS = 0x58,
    INT_EN = 0x5c,
    BYTE_TEST = 0x64,
    FIFO_INT = 0x68,
    RX_CFG = 0x6c,
    TX_CFG = 0x70,
    HW_CFG = 0x74,
    RX_DP_CTRL = 0x78,
    RX_FIFO_INF = 0x7c,
    TX_FIFO_INF = 0x80,
    MAC_CSR_CMD = 0xa4,
    MAC_CSR_DATA = 0xa8,
};

enum { MAC_CR = 1, MAC_ADDRH = 2, MAC_ADDRL = 3 };
enum { MAC_CR_TXEN = 1 << 3, MAC_CR_RXEN = 1 << 2 };
enum { TX_CFG_ON = 1 << 1, HW_CFG_SOFT_RESET = 1, INT_RX_STATUS_LEVEL = 1 << 3 };
enum { IRQ_ENABLED_ACTIVE_HIGH = (1 << 8) | (1 << 4) | 1 };
enum { SPINS = 100000 };

static const uint32_t MAC_BUSY = UINT32_C(1) << 31;
static const uint32_t MAC_READ = UINT32_C(1) << 30;
static const uint32_t RX_FAST_FORWARD = UINT32_C(1) << 31;
static const uint32_t RX_ERROR = UINT32_C(1) << 15;

static uint32_t mac_read(uint32_t index) {
    *ek_register(EK_ETHERNET + MAC_CSR_CMD) = MAC_BUSY | MAC_READ | index;
    for (int spin = 0; spin < SPINS && (*ek_register(EK_ETHERNET + MAC_CSR_CMD) & MAC_BUSY) != 0;
         spin++) {
    }
    return *ek_register(EK_ETHERNET + MAC_CSR_DATA);
}

static void mac_write(uint32_t index, uint32_t value) {
    *ek_register(EK_ETHERNET + MAC_CSR_DATA) = value;
    *ek_register(EK_ETHERNET + MAC_CSR_CMD) = MAC_BUSY | index;
    for (int spin = 0; spin < SPINS && (*ek_register(EK_ETHERNET + MAC_CSR_CMD) & MAC_BUSY) != 0;
         spin++) {
    }
}

ek_status ek_lan9118_init(uint8_t mac[6]) {
    if (*ek_register(EK_ETHERNET + BYTE_TEST) != 0x87654321u) {
        return EK_ERR_STATE;
    }
    *ek_register(EK_ETHERNET + HW_CFG) = HW_CFG_SOFT_RESET;
    for (int spin = 0;
         spin < SPINS && (*ek_register(EK_ETHERNET + HW_CFG) & HW_CFG_SOFT_RESET) != 0; spin++) {
    }
    *ek_register(EK_ETHERNET + HW_CFG) = 5u << 16; /* 5 KiB for sending, the rest for receiving */
    *ek_register(EK_ETHERNET + RX_CFG) = 0;
    *ek_register(EK_ETHERNET + INT_EN) = 0;
    *ek_register(EK_ETHERNET + FIFO_INT) = 0;
    *ek_register(EK_ETHERNET + IRQ_CFG) = IRQ_ENABLED_ACTIVE_HIGH;
    *ek_register(EK_ETHERNET + TX_CFG) = TX_CFG_ON;
    const uint32_t low = mac_read(MAC_ADDRL);
    const uint32_t high = mac_read(MAC_ADDRH);
    for (uint32_t i = 0; i < 4; i++) {
        mac[i] = (uint8_t)(low >> (8 * i));
    }
    mac[4] = (uint8_t)high;
    mac[5] = (uint8_t)(high >> 8);
    mac_write(MAC_CR, MAC_CR_TXEN | MAC_CR_RXEN);
    return EK_OK;
}

ek_status ek_lan9118_send(const uint32_t *words, size_t length) {
    const uint32_t n = (uint32_t)length;
    int spin = 0;
    while ((*ek_register(EK_ETHERNET + TX_FIFO_INF) & 0xffffu) < n + 16) {
        if (++spin == SPINS) {
            return EK_ERR_TIMEOUT;
        }
    }
    *ek_register(EK_ETHERNET + TX_DATA) = (1u << 13) | (1u << 12) | n; /* first and last segment */
    *ek_register(EK_ETHERNET + TX_DATA) = n;
    for (uint32_t i = 0; i < (n + 3) / 4; i++) {
        *ek_register(EK_ETHERNET + TX_DATA) = words[i];
    }
    while ((*ek_register(EK_ETHERNET + TX_FIFO_INF) >> 16 & 0xffu) != 0) {
        (void)*ek_register(EK_ETHERNET + TX_STATUS);
    }
    return EK_OK;
}

int ek_lan9118_waiting(void) {
    return (*ek_register(EK_ETHERNET + RX_FIFO_INF) >> 16 & 0xffu) != 0;
}

size_t ek_lan9118_receive(uint32_t *words, size_t capacity) {
    while (ek_lan9118_waiting()) {
        const uint32_t status = *ek_register(EK_ETHERNET + RX_STATUS);
        const uint32_t length = status >> 16 & 0x3fffu; /* with the checksum */
        const uint32_t count = (length + 3) / 4;
        if ((status & RX_ERROR) == 0 && length > 4 && 4 * (size_t)count <= capacity) {
            for (uint32_t i = 0; i < count; i++) {
                words[i] = *ek_register(EK_ETHERNET + RX_DATA);
            }
            return length - 4;
        }
        if (count >= 4) {
            *ek_register(EK_ETHERNET + RX_DP_CTRL) = RX_FAST_FORWARD;
            for (int spin = 0;
                 spin < SPINS && (*ek_register(EK_ETHERNET + RX_DP_CTRL) & RX_FAST_FORWARD) != 0;
                 spin++) {
            }
        } else {
            for (uint32_t i = 0; i < count; i++) {
                (void)*ek_register(EK_ETHERNET + RX_DATA);
            }
        }
    }
    return 0;
}

void ek_lan9118_interrupt(int on) {
    *ek_register(EK_ETHERNET + INT_STS) = 0xffffffffu;
    *ek_register(EK_ETHERNET + INT_EN) = on ? INT_RX_STATUS_LEVEL : 0;
}
