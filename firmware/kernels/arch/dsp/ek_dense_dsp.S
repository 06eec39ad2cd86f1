/* Groups of eight columns times one row; see ek_dense_dsp.h. Twin: firmware/kernels/ek_dense_dsp.c.
 *
 * Registers: r0 x, r1 stream, r2-r9 sums, r10 terms 0 and 2 of x, r11 terms 1 and 3, r12 and lr words
 * of weights.
 */
    .syntax unified
    .thumb

/* 0: no layer has lanes apart. */
#ifndef EK_DSP_CLEAN
#define EK_DSP_CLEAN 1
#endif

    .equ FORM_CLEAN, 3

    .equ AT_X, 0
    .equ AT_END, 4          /* of x */
    .equ AT_FINISH, 8       /* where sums are finished */
    .equ AT_ENTRY, 12       /* where the first round of the loop starts */
    .equ AT_LANES, 16
    .equ AT_STEP, 20        /* from one group's lanes to the next's */
    .equ AT_Y, 24
    .equ AT_GROUPS, 28
    .equ FRAME, 36

    .equ UNROLL, 4
    .equ MIXED_BYTES, 124
    .equ CLEAN_BYTES, 172

/* Every instruction has 4 bytes. */
.macro load_x
    ldr     r11, [r0], #4
    sxtb16  r10, r11
    sxtb16  r11, r11, ror #8
.endm

.macro mixed_pair even, odd
    ldmia.w r1!, {r12, lr}
    smlad   \odd, r12, r10, \odd
    sxtb16  r12, r12
    smlad   \even, r12, r10, \even
    smlad   \odd, lr, r11, \odd
    sxtb16  lr, lr
    smlad   \even, lr, r11, \even
.endm

.macro clean_word even, odd, x
    ldr     r12, [r1], #4
    sxtb16  lr, r12
    sxtb16  r12, r12, ror #8
    smlad   \even, lr, \x, \even
    smlad   \odd, r12, \x, \odd
.endm

.macro clean_pair even, odd
    clean_word \even, \odd, r10
    clean_word \even, \odd, r11
.endm

/* The first round does what is left over of whole rounds, or one whole round. */
.macro rounds pair
    .p2align 2
\pair\()_round:
    .rept UNROLL
    load_x
    \pair   r2, r3
    \pair   r4, r5
    \pair   r6, r7
    \pair   r8, r9
    .endr
end_of_\pair:
    ldrd    r10, r11, [sp, #AT_END]
    cmp     r0, r10
    bne     \pair\()_round
    bx      r11
.endm

/* With multiplier r10, addend r11, shift r12; r0 is free. */
.macro finish_single sum
    ldmia   lr!, {r10, r11, r12}
    smmla   \sum, \sum, r10, r11
    asr     \sum, \sum, r12
    ssat    \sum, #8, \sum
.endm

.macro finish_twice sum
    ldmia   lr!, {r10, r11, r12}
    smmlar  r0, \sum, r10, r11
    add     \sum, r0, \sum, asr #31
    asr     \sum, \sum, r12
    ssat    \sum, #8, \sum
.endm

.macro finish_double sum
    lsl     \sum, \sum, #1
    finish_twice \sum
.endm

.macro finish_mixed_double sum
    asr     \sum, \sum, #7
    finish_twice \sum
.endm

.macro separate
    sub     r3, r3, r2
    sub     r5, r5, r4
    sub     r7, r7, r6
    sub     r9, r9, r8
.endm

.macro finish even, odd
    ldr     lr, [sp, #AT_LANES]
    \even   r2
    \odd    r3
    \even   r4
    \odd    r5
    \even   r6
    \odd    r7
    \even   r8
    \odd    r9
    b       store
.endm

    .section .text.ek_dense_dsp, "ax", %progbits
    .p2align 2
    .global ek_dense_dsp
    .type   ek_dense_dsp, %function
    .thumb_func
ek_dense_dsp:
    push    {r4-r11, lr}
    sub     sp, #FRAME
    ldmia   r0, {r1-r8}
    add     r0, r1, r7, lsl #2
    subs    r7, r7, #1
    and     r7, r7, #(UNROLL - 1)
    adds    r7, r7, #1
    adr.w   r11, finishes
    ldr     r12, [r11, r8, lsl #2]
    add     r11, r11, r12
    cmp     r8, #FORM_CLEAN
    mov     r10, #MIXED_BYTES
    adr.w   r12, end_of_mixed_pair
#if EK_DSP_CLEAN
    itt     hs
    movhs   r10, #CLEAN_BYTES
    adrhs.w r12, end_of_clean_pair
#endif
    mls     r12, r7, r10, r12
    orr     r12, r12, #1
    strd    r1, r0, [sp, #AT_X]
    strd    r11, r12, [sp, #AT_FINISH]
    strd    r3, r4, [sp, #AT_LANES]
    strd    r5, r6, [sp, #AT_Y]
    mov     r1, r2
next_group:
    ldr     r0, [sp, #AT_X]
    ldr     r10, [sp, #AT_ENTRY]
    ldmia   r1!, {r2-r9}
    bx      r10

    rounds  mixed_pair
#if EK_DSP_CLEAN
    rounds  clean_pair
#endif

    .p2align 2
finishes:
    .word   0
    .word   in_double - finishes + 1
    .word   in_single - finishes + 1
#if EK_DSP_CLEAN
    .word   in_clean_double - finishes + 1
    .word   in_clean_single - finishes + 1
#endif

in_double:
    separate
    finish  finish_double, finish_mixed_double
#if EK_DSP_CLEAN
in_clean_double:
    finish  finish_double, finish_double
#endif
in_single:
    separate
in_clean_single:
    finish  finish_single, finish_single
store:
    bfi     r2, r3, #8, #8
    bfi     r2, r4, #16, #8
    bfi     r2, r5, #24, #8
    bfi     r6, r7, #8, #8
    bfi     r6, r8, #16, #8
    bfi     r6, r9, #24, #8
    ldrd    r3, r4, [sp, #AT_LANES]
    ldrd    r10, r11, [sp, #AT_Y]
    add     r3, r3, r4
    str     r3, [sp, #AT_LANES]
    str     r2, [r10], #4
    str     r6, [r10], #4
    subs    r11, r11, #1
    strd    r10, r11, [sp, #AT_Y]
    bne     next_group
    add     sp, #FRAME
    pop     {r4-r11, pc}
    .size   ek_dense_dsp, . - ek_dense_dsp
