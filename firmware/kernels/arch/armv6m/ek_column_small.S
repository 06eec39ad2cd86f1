/* ek_column_small for Armv6-M: 14 instructions for 4 products. A word has the weights of 4 outputs;
 * it is multiplied as it is, shifted by one byte, by two and by three. Each such sum has that of
 * the next output 256 times in it, which is taken off at the end, modulo 2^32.
 *
 * Eight terms make a round, the first round begins in the middle.
 * r0 weights, r1 end of pixels, r2 pixel, r3-r6 weights, r7 pixels left, negative, r8-r11 sums */
    .syntax unified
    .thumb
    .section .text.ek_column_small, "ax", %progbits
    .global ek_column_small
    .type ek_column_small, %function
    .set STEP_BYTES, 28
    .balign 4
ek_column_small:
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r3-r7}
    adds r1, r1, r2
    rsbs r7, r2, #0
    movs r4, #7
    ands r4, r7                     /* terms that the first round leaves out */
    movs r6, #STEP_BYTES
    muls r6, r4, r6
    adr r4, .Lround
    adds r6, r6, r4
    movs r4, #0
    mov r8, r4
    mov r9, r4
    mov r10, r4
    mov r11, r4
    mov pc, r6
    .balign 4
.Lround:
    .rept 8
    ldmia r0!, {r3}
    ldrsb r2, [r1, r7]
    lsrs r4, r3, #8
    lsrs r5, r3, #16
    lsrs r6, r3, #24
    muls r3, r2, r3
    add r8, r3
    muls r4, r2, r4
    add r9, r4
    muls r5, r2, r5
    add r10, r5
    muls r6, r2, r6
    add r11, r6
    adds r7, #1
    .endr
    bne .Lround
    pop {r2}
    mov r3, r8
    mov r4, r9
    mov r5, r10
    mov r6, r11
    lsls r7, r4, #8
    subs r3, r3, r7
    lsls r7, r5, #8
    subs r4, r4, r7
    lsls r7, r6, #8
    subs r5, r5, r7
    stmia r2!, {r3-r6}
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
    .size ek_column_small, . - ek_column_small
