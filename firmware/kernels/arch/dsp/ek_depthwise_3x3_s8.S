/* One pixel of a 3x3 depthwise convolution; see ek_depthwise_3x3_s8.h.
 *
 * Registers: r0 x, r1 group, r2 column, r3 row, r4-r7 sums of the four channels, r8-r12 operands,
 * lr y. Stack: end of y.
 */
    .syntax unified
    .thumb

/* Two taps in r8 and r9: bytes of both are brought together as 16-bit lanes, channel by channel. */
.macro pair_of_taps
    pkhbt   r10, r8, r9, lsl #16
    pkhtb   r9, r9, r8, asr #16
    ldrd    r11, r12, [r1], #8
    sxtb16  r8, r10
    sxtb16  r10, r10, ror #8
    smlad   r4, r8, r11, r4
    smlad   r5, r10, r12, r5
    ldrd    r11, r12, [r1], #8
    sxtb16  r8, r9
    sxtb16  r9, r9, ror #8
    smlad   r6, r8, r11, r6
    smlad   r7, r9, r12, r7
.endm

    .section .text.ek_depthwise_3x3_s8, "ax", %progbits
    .p2align 2
    .global ek_depthwise_3x3_s8
    .type   ek_depthwise_3x3_s8, %function
    .thumb_func
ek_depthwise_3x3_s8:
    push    {r4-r11, lr}
    sub     sp, #12
    ldrd    lr, r12, [r0, #16]
    str     r12, [sp]
    ldrd    r3, r1, [r0, #8]
    ldrd    r0, r2, [r0]
1:
    ldmia   r1!, {r4-r7}
    ldr     r8, [r0]
    ldr     r9, [r0, r2]
    pair_of_taps
    ldr     r8, [r0, r2, lsl #1]
    add     r0, r3
    ldr     r9, [r0, r2, lsl #1]
    pair_of_taps
    ldr     r8, [r0]
    ldr     r9, [r0, r2]
    pair_of_taps
    add     r0, r3
    ldr     r8, [r0]
    ldr     r9, [r0, r2]
    pair_of_taps
    ldr     r8, [r0, r2, lsl #1]
    ldrd    r11, r12, [r1], #8
    sxtb16  r9, r8
    sxtb16  r8, r8, ror #8
    smlabb  r4, r9, r11, r4
    smlabb  r5, r8, r12, r5
    smlatt  r6, r9, r11, r6
    smlatt  r7, r8, r12, r7
    .irp sum, r4, r5, r6, r7
    ldmia   r1!, {r8, r9, r10}
    smmlar  r11, \sum, r8, r9
    add     \sum, r11, \sum, asr #31
    asr     \sum, \sum, r10
    ssat    \sum, #8, \sum
    .endr
    bfi     r4, r5, #8, #8
    bfi     r4, r6, #16, #8
    bfi     r4, r7, #24, #8
    str     r4, [lr], #4
    sub     r0, r0, r3, lsl #1
    ldr     r8, [sp]
    adds    r0, #4
    cmp     lr, r8
    bne     1b
    add     sp, #12
    pop     {r4-r11, pc}
    .size   ek_depthwise_3x3_s8, . - ek_depthwise_3x3_s8
