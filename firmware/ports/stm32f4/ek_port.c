/* The port to the STM32F4: a test bench without an agent, so only what that needs. The chip runs on
 * its internal oscillator of 16 MHz.
 * Source: RM0090, chapters 18 (TIM2), 30 (USART), 7 (RCC). */
#include "ek_port.h"

#include "board.h"
#include "ek_bare.h"

enum { RCC_APB1ENR = 0x40, RCC_APB2ENR = 0x44, TIM2_CLOCK = 1, USART1_CLOCK = 1 << 4 };
enum { USART_SR = 0x00, USART_DR = 0x04, USART_BRR = 0x08, USART_CR1 = 0x0c };
enum { SR_TRANSMIT_EMPTY = 1 << 7, CR1_ON = (1 << 13) | (1 << 3), BRR_115200 = 139 };
enum { TIM_CR1 = 0x00, TIM_CNT = 0x24, TIM_PSC = 0x28, TIM_ARR = 0x2c, TIM_ON = 1 };

void ek_port_init(void) {
    *ek_register(EK_RCC + RCC_APB1ENR) |= TIM2_CLOCK;
    *ek_register(EK_RCC + RCC_APB2ENR) |= USART1_CLOCK;
    *ek_register(EK_UART + USART_BRR) = BRR_115200;
    *ek_register(EK_UART + USART_CR1) = CR1_ON;
    *ek_register(EK_TIMER + TIM_PSC) = 0;
    *ek_register(EK_TIMER + TIM_ARR) = 0xffffffffu;
    *ek_register(EK_TIMER + TIM_CR1) = TIM_ON;
}

uint32_t ek_port_ticks(void) {
    return *ek_register(EK_TIMER + TIM_CNT);
}

void ek_console_put(char character) {
    enum { SPINS = 100000 };
    for (int spin = 0; spin < SPINS && (*ek_register(EK_UART + USART_SR) & SR_TRANSMIT_EMPTY) == 0;
         spin++) {
    }
    *ek_register(EK_UART + USART_DR) = (uint8_t)character;
}
