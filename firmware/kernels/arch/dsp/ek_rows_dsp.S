/* Gathering and convolving planes; see ek_rows_dsp.h. Twin: firmware/kernels/ek_rows_dsp.c. */
    .syntax unified
    .thumb

/* r0 x, r1 to, r2 column, r3 pairs of pixels, r4-r7 words, r8-r10 distances of the other planes from
 * where r1 is after a word, r11 x of the row, r12 to of the row, lr rows. */
    .equ AT_WIDTH, 0
    .equ AT_ROW, 4
    .equ AT_PITCH, 8
    .equ GATHER_FRAME, 12

    .section .text.ek_gather_planes_dsp, "ax", %progbits
    .p2align 2
    .global ek_gather_planes_dsp
    .type   ek_gather_planes_dsp, %function
    .thumb_func
ek_gather_planes_dsp:
    push    {r4-r11, lr}
    sub     sp, #GATHER_FRAME
    ldmia   r0, {r1-r8}
    strd    r4, r3, [sp, #AT_WIDTH]
    str     r7, [sp, #AT_PITCH]
    mov     r11, r1
    mov     r12, r6
    mov     lr, r5
    subs    r9, r8, #4
    add     r10, r9, r8, lsl #1
    mov     r0, r8
    mov     r8, r9
    add     r9, r9, r0
1:
    ldr     r3, [sp, #AT_WIDTH]
    mov     r0, r11
    mov     r1, r12
    lsrs    r3, r3, #1
    beq     3f
2:
    ldr     r5, [r0, r2]
    ldr     r4, [r0]
    add     r0, r0, r2, lsl #1
    pkhbt   r6, r4, r5, lsl #16
    pkhtb   r4, r5, r4, asr #16
    sxtb16  r5, r6
    sxtb16  r6, r6, ror #8
    sxtb16  r7, r4
    sxtb16  r4, r4, ror #8
    str     r5, [r1], #4
    str     r6, [r1, r8]
    str     r7, [r1, r9]
    str     r4, [r1, r10]
    subs    r3, r3, #1
    bne     2b
3:
    ldrd    r3, r4, [sp, #AT_WIDTH]
    ldr     r5, [sp, #AT_PITCH]
    add     r11, r11, r4
    add     r12, r12, r5
    lsls    r3, r3, #31
    beq     4f
    ldr     r4, [r0]
    sxtb16  r5, r4
    sxtb16  r6, r4, ror #8
    strh    r5, [r1], #4
    strh    r6, [r1, r8]
    asrs    r5, r5, #16
    asrs    r6, r6, #16
    strh    r5, [r1, r9]
    strh    r6, [r1, r10]
4:
    subs    lr, lr, #1
    bne     1b
    add     sp, #GATHER_FRAME
    pop     {r4-r11, pc}
    .size   ek_gather_planes_dsp, . - ek_gather_planes_dsp

/* r0-r2 rows of the plane, r3 and r12 sums, r4-r9 weights, r10 and r11 operands, lr y. */
    .equ AT_BIAS, 0
    .equ AT_MULTIPLIER, 4
    .equ AT_ADDEND, 8
    .equ AT_SHIFT, 12
    .equ AT_COLUMN, 16
    .equ AT_END, 20         /* of the pairs of a row */
    .equ AT_START, 24       /* of the next row */
    .equ AT_ROWPITCH, 28
    .equ AT_Y, 32           /* of the next row */
    .equ AT_YROW, 36
    .equ AT_PAIRS, 40       /* bytes that the pairs of a row advance */
    .equ AT_ODD, 44
    .equ AT_ROWS, 48
    .equ FRAME, 52

/* Two outputs from one row of the plane; bias: what the first row starts with. */
.macro two_taps_1 row, first, last, a=r3, b=r12
    ldrd    r10, r11, [\row], #4
    smlad   r3, r10, \first, \a
    smlatb  r12, r10, \first, \b
    smlabt  r3, r11, \last, r3
    smlad   r12, r11, \last, r12
.endm

.macro two_taps_2 row, first, last, a=r3, b=r12
    ldrd    r10, r11, [\row], #8
    smlad   r3, r10, \first, \a
    ldr     r10, [\row]
    smlad   r12, r11, \first, \b
    smlabt  r3, r11, \last, r3
    smlabt  r12, r10, \last, r12
.endm

.macro one_tap row, first, last
    ldrd    r10, r11, [\row]
    smlad   r3, r10, \first, r3
    smlabt  r3, r11, \last, r3
.endm

.macro scale form, sums:vararg
    ldrd    r10, r11, [sp, #AT_MULTIPLIER]
    .irp sum, \sums
    .ifc \form, double
    add     r11, r11, \sum, asr #31
    smmlar  \sum, \sum, r10, r11
    ldr     r11, [sp, #AT_ADDEND]
    .else
    smmlar  \sum, \sum, r10, r11
    .endif
    .endr
    ldrd    r10, r11, [sp, #AT_SHIFT]
    .irp sum, \sums
    asr     \sum, \sum, r10
    ssat    \sum, #8, \sum
    .endr
.endm

.macro rows stride, form
    .if \stride == 1
    lsls    r10, r10, #2
    .else
    lsls    r10, r10, #3
    .endif
    str     r10, [sp, #AT_PAIRS]
1:
    ldrd    r0, r11, [sp, #AT_START]
    ldrd    lr, r12, [sp, #AT_Y]
    add     r1, r0, r11
    add     r2, r1, r11
    .if \stride == 1
    str     r1, [sp, #AT_START]
    .else
    str     r2, [sp, #AT_START]
    .endif
    add     r12, r12, lr
    str     r12, [sp, #AT_Y]
    ldr     r10, [sp, #AT_PAIRS]
    adds    r10, r10, r0
    str     r10, [sp, #AT_END]
    cmp     r0, r10
    beq     3f
2:
    ldr     r12, [sp, #AT_BIAS]
    two_taps_\stride r0, r4, r5, r12, r12
    two_taps_\stride r1, r6, r7
    two_taps_\stride r2, r8, r9
    scale   \form, r3, r12
    strb    r12, [lr, r11]
    strb    r3, [lr]
    ldr     r10, [sp, #AT_END]
    add     lr, lr, r11, lsl #1
    cmp     r0, r10
    bne     2b
3:
    ldrd    r10, r11, [sp, #AT_ODD]
    cmp     r10, #0
    beq     4f
    ldr     r3, [sp, #AT_BIAS]
    one_tap r0, r4, r5
    one_tap r1, r6, r7
    one_tap r2, r8, r9
    scale   \form, r3
    strb    r3, [lr]
    ldr     r11, [sp, #AT_ROWS]
4:
    subs    r11, r11, #1
    str     r11, [sp, #AT_ROWS]
    bne     1b
    add     sp, #FRAME
    pop     {r4-r11, pc}
.endm

    .section .text.ek_convolve_rows_dsp, "ax", %progbits
    .p2align 2
    .global ek_convolve_rows_dsp
    .type   ek_convolve_rows_dsp, %function
    .thumb_func
ek_convolve_rows_dsp:
    push    {r4-r11, lr}
    sub     sp, #FRAME
    ldmia   r0, {r1-r9}     /* plane, y, stream, column, row, width, rows, pitch, kind */
    strd    r1, r8, [sp, #AT_START]
    strd    r2, r5, [sp, #AT_Y]
    str     r4, [sp, #AT_COLUMN]
    and     r10, r6, #1
    strd    r10, r7, [sp, #AT_ODD]
    lsrs    r10, r6, #1
    mov     r11, r9
    ldmia   r3!, {r4, r6, r8}
    ldmia   r3, {r0-r3}
    strd    r0, r1, [sp, #AT_BIAS]
    strd    r2, r3, [sp, #AT_ADDEND]
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    sxtb16  r9, r8, ror #8
    sxtb16  r8, r8
    .irp weight, r4, r5, r6, r7, r8, r9
    sadd16  \weight, \weight, \weight
    .endr
    tbh     [pc, r11, lsl #1]
5:
    .short  (6f - 5b) / 2
    .short  (7f - 5b) / 2
    .short  (8f - 5b) / 2
    .short  (9f - 5b) / 2
6:
    rows    1, floor
7:
    rows    1, double
8:
    rows    2, floor
9:
    rows    2, double
    .size   ek_convolve_rows_dsp, . - ek_convolve_rows_dsp
