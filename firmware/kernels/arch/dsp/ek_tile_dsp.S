/* Pairs of columns times four rows; see ek_tile_dsp.h. Twin: firmware/kernels/ek_tile_dsp.c.
 *
 * Registers: r0 x, r1 stream, r2-r5 sums of the even column in rows 0 to 3, r6-r9 those of the odd
 * one, r10-r12 and lr operands.
 */
    .syntax unified
    .thumb

/* 0: no layer has lanes apart. */
#ifndef EK_DSP_CLEAN
#define EK_DSP_CLEAN 1
#endif

    .equ FORM_CLEAN, 3

    .equ AT_END, 0          /* of x */
    .equ AT_FINISH, 4       /* where sums are finished */
    .equ AT_X, 8
    .equ AT_Y_END, 12
    .equ AT_Y, 16
    .equ AT_PITCH, 20
    .equ AT_ENTRY, 24       /* where the first round of the loop starts */
    .equ FRAME, 28

    .equ UNROLL, 8
    .equ MIXED_BYTES, 48
    .equ CLEAN_BYTES, 52

/* 16 products with the word in lr. Every instruction has 4 bytes. */
.macro products even, odd
    smlad   r2, \even, r10, r2
    smlad   r6, \odd, r10, r6
    smlad   r3, \even, r11, r3
    smlad   r7, \odd, r11, r7
    ldmia.w r0!, {r10, r11}
    smlad   r4, \even, r10, r4
    smlad   r8, \odd, r10, r8
    smlad   r5, \even, r11, r5
    smlad   r9, \odd, r11, r9
.endm

.macro mixed_step
    ldr     lr, [r1], #4
    ldmia.w r0!, {r10, r11}
    sxtb16  r12, lr
    products r12, lr
.endm

.macro clean_step
    ldr     lr, [r1], #4
    ldmia.w r0!, {r10, r11}
    sxtb16  r12, lr
    sxtb16  lr, lr, ror #8
    products r12, lr
.endm

/* The first round does what is left over of whole rounds, or one whole round. */
.macro end_of_round loop
    ldrd    r10, r11, [sp, #AT_END]
    cmp     r0, r10
    bne     \loop
    bx      r11
.endm

/* With multiplier r10, addend r11, shift r12. */
.macro finish_floor sum
    lsl     \sum, \sum, #1
    smmlar  \sum, \sum, r10, r11
    asr     \sum, \sum, r12
    ssat    \sum, #8, \sum
.endm

.macro finish_single sum
    smmla   \sum, \sum, r10, r11
    asr     \sum, \sum, r12
    ssat    \sum, #8, \sum
.endm

.macro finish_twice sum
    smmlar  lr, \sum, r10, r11
    add     \sum, lr, \sum, asr #31
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
    sub     r6, r6, r2
    sub     r7, r7, r3
    sub     r8, r8, r4
    sub     r9, r9, r5
.endm

/* Finishes, stores, and goes on with the next pair. */
.macro finish even, odd
    ldmia   r1!, {r10, r11, r12}
    .irp sum, r2, r3, r4, r5
    \even   \sum
    .endr
    ldmia   r1!, {r10, r11, r12}
    .irp sum, r6, r7, r8, r9
    \odd    \sum
    .endr
    bfi     r2, r6, #8, #8
    bfi     r3, r7, #8, #8
    bfi     r4, r8, #8, #8
    bfi     r5, r9, #8, #8
    ldrd    r10, r11, [sp, #AT_Y]
    add     r12, r10, r11, lsl #1
    strh    r3, [r10, r11]
    strh    r4, [r12]
    strh    r5, [r12, r11]
    strh    r2, [r10], #2
    ldrd    r0, r12, [sp, #AT_X]
    str     r10, [sp, #AT_Y]
    cmp     r10, r12
    bne     next_pair
    add     sp, #FRAME
    pop     {r4-r11, pc}
.endm

    .section .text.ek_tile_dsp, "ax", %progbits
    .p2align 2
    .global ek_tile_dsp
    .type   ek_tile_dsp, %function
    .thumb_func
ek_tile_dsp:
    push    {r4-r11, lr}
    sub     sp, #FRAME
    ldmia   r0, {r4-r10}
    add     r8, r6, r8, lsl #1
    add     r0, r4, r9, lsl #3
    lsrs    r9, r9, #1
    subs    r9, r9, #1
    and     r9, r9, #(UNROLL - 1)
    adds    r9, r9, #1
    adr.w   r11, finishes
    ldr     r12, [r11, r10, lsl #2]
    add     r11, r11, r12
    cmp     r10, #FORM_CLEAN
    mov     r10, #MIXED_BYTES
    adr.w   r12, end_of_mixed
#if EK_DSP_CLEAN
    itt     hs
    movhs   r10, #CLEAN_BYTES
    adrhs.w r12, end_of_clean
#endif
    mls     r12, r9, r10, r12
    orr     r12, r12, #1
    strd    r0, r11, [sp, #AT_END]
    strd    r4, r8, [sp, #AT_X]
    strd    r6, r7, [sp, #AT_Y]
    str     r12, [sp, #AT_ENTRY]
    mov     r0, r4
    mov     r1, r5
next_pair:
    ldrd    r2, r6, [r1], #8
    ldr     r10, [sp, #AT_ENTRY]
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    mov     r7, r6
    mov     r8, r6
    mov     r9, r6
    bx      r10

    .p2align 2
mixed_round:
    .rept UNROLL
    mixed_step
    .endr
end_of_mixed:
    end_of_round mixed_round

#if EK_DSP_CLEAN
    .p2align 2
clean_round:
    .rept UNROLL
    clean_step
    .endr
end_of_clean:
    end_of_round clean_round
#endif

    .p2align 2
finishes:
    .word   in_floor - finishes + 1
    .word   in_double - finishes + 1
    .word   in_single - finishes + 1
#if EK_DSP_CLEAN
    .word   in_clean_double - finishes + 1
    .word   in_clean_single - finishes + 1
#endif

in_floor:
    separate
    finish  finish_floor, finish_single
in_double:
    separate
    finish  finish_double, finish_mixed_double
in_single:
    separate
in_clean_single:
    finish  finish_single, finish_single
#if EK_DSP_CLEAN
in_clean_double:
    finish  finish_double, finish_double
#endif
    .size   ek_tile_dsp, . - ek_tile_dsp

/* r3-r6 rows, r1 end of the run, r2 to; r7-r10 words; even bytes in r0, r11, r12, lr. */
    .equ AT_RUN, 0          /* bytes of an expanded run */
    .equ AT_GAP, 4          /* from the end of a run to the next one */
    .equ AT_RUNS, 8
    .equ EXPAND_FRAME, 12

    .section .text.ek_expand_dsp, "ax", %progbits
    .p2align 2
    .global ek_expand_dsp
    .type   ek_expand_dsp, %function
    .thumb_func
ek_expand_dsp:
    push    {r4-r11, lr}
    ldr     r12, [sp, #36]
    sub     sp, #EXPAND_FRAME
    sub     r12, r12, r1, lsl #2
    lsls    r1, r1, #5
    strd    r1, r12, [sp, #AT_RUN]
    str     r3, [sp, #AT_RUNS]
    ldmia   r0, {r3-r6}
1:
    add     r1, r1, r2
2:
    ldr     r7, [r3], #4
    ldr     r8, [r4], #4
    ldr     r9, [r5], #4
    ldr     r10, [r6], #4
    sxtb16  r0, r7
    sxtb16  r11, r8
    sxtb16  r12, r9
    sxtb16  lr, r10
    stmia   r2!, {r0, r11, r12, lr}
    sxtb16  r7, r7, ror #8
    sxtb16  r8, r8, ror #8
    sxtb16  r9, r9, ror #8
    sxtb16  r10, r10, ror #8
    stmia   r2!, {r7-r10}
    cmp     r2, r1
    bne     2b
    ldrd    r1, r0, [sp, #AT_RUN]
    ldr     r7, [sp, #AT_RUNS]
    add     r3, r3, r0
    add     r4, r4, r0
    add     r5, r5, r0
    add     r6, r6, r0
    subs    r7, r7, #1
    str     r7, [sp, #AT_RUNS]
    bne     1b
    mov     r0, r2
    add     sp, #EXPAND_FRAME
    pop     {r4-r11, pc}
    .size   ek_expand_dsp, . - ek_expand_dsp
