/* ek_band_small for Armv6-M: 36 instructions for an output.
 *
 * r0 window, r1 weights, r2-r4 weights of a line, r5 pixel, r6 sum, r7 where sums go, r8 to the
 * next line, r9 from the last line to the next window, r10 end of a row's sums, r11 from behind the
 * last window of a row to the first of the next, r12 bytes of a row's sums, lr end of all */
    .syntax unified
    .thumb
    .section .text.ek_band_small, "ax", %progbits
    .global ek_band_small
    .type ek_band_small, %function
    .balign 4
ek_band_small:
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    movs r7, r2
    ldr r2, [r0, #4]                /* line */
    mov r8, r2
    ldr r3, [r0, #12]               /* step_w */
    lsls r2, r2, #1
    subs r2, r3, r2
    mov r9, r2
    ldr r4, [r0, #20]               /* columns */
    muls r3, r4, r3
    ldr r2, [r0, #8]                /* step_h */
    subs r2, r2, r3
    mov r11, r2
    lsls r4, r4, #2
    mov r12, r4
    ldr r2, [r0, #16]               /* rows */
    muls r2, r4, r2
    adds r2, r2, r7
    mov lr, r2
    mov r10, r7
    ldr r0, [r0]                    /* plane */
.Lrow:
    add r10, r12
.Lwindow:
    ldmia r1!, {r2-r4}
    ldrb r6, [r0]
    muls r6, r2, r6
    ldrb r5, [r0, #1]
    muls r5, r3, r5
    adds r6, r6, r5
    ldrb r5, [r0, #2]
    muls r5, r4, r5
    adds r6, r6, r5
    .rept 2
    add r0, r8
    ldmia r1!, {r2-r4}
    ldrb r5, [r0]
    muls r5, r2, r5
    adds r6, r6, r5
    ldrb r5, [r0, #1]
    muls r5, r3, r5
    adds r6, r6, r5
    ldrb r5, [r0, #2]
    muls r5, r4, r5
    adds r6, r6, r5
    .endr
    subs r1, #36
    add r0, r9
    stmia r7!, {r6}
    cmp r7, r10
    bne .Lwindow
    add r0, r11
    cmp r7, lr
    bne .Lrow
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
    .size ek_band_small, . - ek_band_small
