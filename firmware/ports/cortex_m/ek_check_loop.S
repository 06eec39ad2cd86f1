/* uint32_t ek_check_loop(uint32_t rounds): two instructions per round. Declared in
 * firmware/agent/ek_bench.h. */
    .syntax unified
    .thumb
    .section .text.ek_check_loop, "ax", %progbits
    .global ek_check_loop
    .type ek_check_loop, %function
    .balign 4
ek_check_loop:
1:  subs r0, r0, #1
    bne 1b
    movs r0, #2
    bx lr
    .size ek_check_loop, . - ek_check_loop
