/* Copies rows, fills; see ek_tile_mve.h. */
    .syntax unified
    .thumb

/* r0 to, r1 step, r2 from, r3 step, stack: bytes of a row, rows. */
    .section .text.ek_patch_mve, "ax", %progbits
    .p2align 2
    .global ek_patch_mve
    .type   ek_patch_mve, %function
    .thumb_func
ek_patch_mve:
    push    {r4-r7, lr}
    ldrd    r6, r7, [sp, #20]
1:
    mov     r4, r0
    mov     r5, r2
    dlstp.8 lr, r6
2:
    vldrb.u8 q0, [r5], #16
    vstrb.8 q0, [r4], #16
    letp    lr, 2b
    add     r0, r1
    add     r2, r3
    subs    r7, #1
    bne     1b
    pop     {r4-r7, pc}
    .size   ek_patch_mve, . - ek_patch_mve

/* r0 to, r1 value, r2 count. */
    .section .text.ek_fill_mve, "ax", %progbits
    .p2align 2
    .global ek_fill_mve
    .type   ek_fill_mve, %function
    .thumb_func
ek_fill_mve:
    push    {r3, lr}
    vdup.8  q0, r1
    wlstp.8 lr, r2, 2f
1:
    vstrb.8 q0, [r0], #16
    letp    lr, 1b
2:
    pop     {r3, pc}
    .size   ek_fill_mve, . - ek_fill_mve
