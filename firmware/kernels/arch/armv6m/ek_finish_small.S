/* ek_finish_small for Armv6-M, which has no long multiplication: 43 instructions for an output, 16
 * where the sum is cut off at once.
 *
 * With sum a = a1 * 2^16 + a0, a0 signed, and multiplier m = m1 * 2^16 + m0, both unsigned, the
 * product over 2^31 is 2 * a1 * m1 + (a1 * m0 + a0 * m1 + a0 * m0 / 2^16) / 2^15. For |a| < 2^29 the
 * bracket fits 32 bits.
 *
 * r0 sums, r1 y, r3 row, r2 and r4-r7 to compute in, r8 step of y, r9 step of rows, r10 offset,
 * r11 2^15, r12 largest sum that is cut off, lr half of what is lost by the shift by 15, or 0 */
    .syntax unified
    .thumb
    .section .text.ek_finish_small, "ax", %progbits
    .global ek_finish_small
    .type ek_finish_small, %function

    /* On the stack. */
    .set LIFT, 0                    /* zero point - low */
    .set RANGE, 4                   /* high - low */
    .set LOW, 8
    .set END, 12                    /* of sums */

.macro finish_loop double
.Lnext\@:
    ldmia r0!, {r4}
    ldr r5, [r3]
    add r4, r10
    adds r4, r4, r5
    cmp r4, r12
    ble .Lcut\@
    ldrh r5, [r3, #4]               /* m0 */
    ldrh r6, [r3, #6]               /* m1 */
    sxth r7, r4                     /* a0 */
    add r4, r11
    asrs r4, r4, #16                /* a1 */
    movs r2, r7
    muls r2, r5, r2
    asrs r2, r2, #16
    muls r5, r4, r5
    adds r2, r2, r5
    muls r7, r6, r7
    adds r2, r2, r7
    muls r6, r4, r6
    lsls r6, r6, #1
    add r2, lr
    asrs r2, r2, #15
    adds r6, r6, r2
.if \double
    asrs r4, r6, #31
    adds r6, r6, r4
.endif
    ldr r7, [r3, #8]                /* the shift, negative */
    mvns r7, r7
    asrs r6, r7
    adds r6, #1
    asrs r6, r6, #1
    ldr r7, [sp, #LIFT]
    adds r6, r6, r7
    ldr r7, [sp, #RANGE]
    cmp r6, r7
    bhi .Loutside\@
.Lstore\@:
    ldr r7, [sp, #LOW]
    adds r6, r6, r7
    strb r6, [r1]
    add r1, r8
    add r3, r9
    ldr r7, [sp, #END]
    cmp r0, r7
    bne .Lnext\@
    b .Ldone
.Loutside\@:                        /* below: 0, above: RANGE */
    asrs r6, r6, #31
    bics r7, r6
    movs r6, r7
    b .Lstore\@
.Lcut\@:
    movs r6, #0
    b .Lstore\@
.endm

    .balign 4
ek_finish_small:
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    lsls r7, r3, #2
    adds r7, r7, r1                 /* END */
    ldr r4, [r0, #16]               /* zero_point */
    ldr r6, [r0, #20]               /* low */
    ldr r5, [r0, #24]               /* high */
    subs r5, r5, r6
    movs r3, #0
    subs r4, r4, r6
    ble 1f                          /* the lower limit is the zero point or above */
    movs r3, #1
    lsls r3, r3, #31
1:  mov r12, r3
    push {r4-r7}
    ldr r4, [r0, #8]                /* y_step */
    mov r8, r4
    ldr r4, [r0, #4]                /* row_step */
    mov r9, r4
    ldr r4, [r0, #12]               /* offset */
    mov r10, r4
    movs r4, #1
    lsls r4, r4, #15
    mov r11, r4
    ldr r5, [r0, #28]               /* single */
    ldr r3, [r0]                    /* rows */
    movs r0, r1
    movs r1, r2
    cmp r5, #0
    bne .Lsingle
    lsrs r4, r4, #1
    mov lr, r4
    finish_loop 1
.Lsingle:
    movs r5, #0
    mov lr, r5
    finish_loop 0
.Ldone:
    add sp, #16
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
    .size ek_finish_small, . - ek_finish_small
