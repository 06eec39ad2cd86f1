/* The reset of a RISC-V hart in machine mode. Everything that traps is a fault. */
    .section .vectors, "ax", %progbits
    .global ek_reset_handler
    .type ek_reset_handler, %function
ek_reset_handler:
    la sp, ek_stack_top
    la t0, trap
    csrw mtvec, t0
    j ek_start
    .size ek_reset_handler, . - ek_reset_handler

    .balign 4
trap:
    mv a0, sp
    la sp, ek_fault_stack_top
    j ek_trap_report

    .section .bss.ek_fault_stack, "aw", %nobits
    .balign 16
    .skip 256
ek_fault_stack_top:
