/* uint32_t ek_check_loop(uint32_t rounds): two instructions per round. Declared in
 * firmware/agent/ek_bench.h. */
    .section .text.ek_check_loop, "ax", %progbits
    .global ek_check_loop
    .type ek_check_loop, %function
    .balign 4
ek_check_loop:
1:  addi a0, a0, -1
    bnez a0, 1b
    li a0, 2
    ret
    .size ek_check_loop, . - ek_check_loop
