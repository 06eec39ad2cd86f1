/* Two columns times blocks of four rows; see ek_tile_s8.h.
 *
 * Registers: r0 x, r1 weights, r2-r5 sums of column 0 in rows 0 to 3, r6-r9 those of column 1,
 * r10-r12 and lr operands. Stack: where x of this block ends, the ek_tile, y, blocks left, where
 * the first round of the loop starts.
 */
    .syntax unified
    .thumb

    .equ TILE_X, 0
    .equ TILE_W, 4
    .equ TILE_Y, 8
    .equ TILE_N, 12
    .equ TILE_BLOCKS, 16
    .equ TILE_PAIRS, 20
    .equ TILE_BIAS, 24
    .equ TILE_LANE, 32
    .equ LANE_BYTES, 12

    .equ AT_END, 0
    .equ AT_TILE, 4
    .equ AT_Y, 8
    .equ AT_BLOCKS, 12
    .equ AT_ENTRY, 16
    .equ FRAME, 24

    .equ UNROLL, 8
    .equ PAIR_BYTES, 44

/* Two terms: 16 products. Every instruction has 4 bytes, PAIR_BYTES together. */
.macro pair_of_terms
    ldmia.w r1!, {r12, lr}
    ldmia.w r0!, {r10, r11}
    smlad   r2, r12, r10, r2
    smlad   r6, lr, r10, r6
    smlad   r3, r12, r11, r3
    smlad   r7, lr, r11, r7
    ldmia.w r0!, {r10, r11}
    smlad   r4, r12, r10, r4
    smlad   r8, lr, r10, r8
    smlad   r5, r12, r11, r5
    smlad   r9, lr, r11, r9
.endm

/* Scales four sums. r10 multiplier, r11 addend, r12 shift; r1 is free. */
.macro finish rounding, sums:vararg
    .irp sum, \sums
    .ifc \rounding, double
    smmlar  r1, \sum, r10, r11
    add     \sum, r1, \sum, asr #31
    .else
    smmla   \sum, \sum, r10, r11
    .endif
    asr     \sum, \sum, r12
    ssat    \sum, #8, \sum
    .endr
.endm

.macro tile name, rounding
    .section .text.\name, "ax", %progbits
    .p2align 2
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    sub     sp, #FRAME
    mov     lr, r0
    ldr     r2, [lr, #TILE_Y]
    ldr     r3, [lr, #TILE_BLOCKS]
    ldr     r4, [lr, #TILE_PAIRS]
    str     lr, [sp, #AT_TILE]
    strd    r2, r3, [sp, #AT_Y]
    /* The first round does what is left over of whole rounds, or one whole round. */
    subs    r5, r4, #1
    and     r5, r5, #(UNROLL - 1)
    adds    r5, #1
    movs    r6, #PAIR_BYTES
    mul     r5, r5, r6
    adr.w   r6, 3f
    subs    r6, r6, r5
    orr     r6, r6, #1
    str     r6, [sp, #AT_ENTRY]
    ldr     r0, [lr, #TILE_X]
1:
    ldr     r1, [lr, #TILE_PAIRS]
    add     r1, r0, r1, lsl #4
    str     r1, [sp, #AT_END]
    ldr     r1, [lr, #TILE_W]
    ldrd    r2, r6, [lr, #TILE_BIAS]
    ldr     r10, [sp, #AT_ENTRY]
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    mov     r7, r6
    mov     r8, r6
    mov     r9, r6
    bx      r10
    .p2align 2
2:
    .rept UNROLL
    pair_of_terms
    .endr
3:
    ldr     r10, [sp, #AT_END]
    cmp     r0, r10
    bne     2b
    ldr     lr, [sp, #AT_TILE]
    ldrd    r10, r11, [lr, #TILE_LANE]
    ldr     r12, [lr, #(TILE_LANE + 8)]
    finish  \rounding, r2, r3, r4, r5
    ldrd    r10, r11, [lr, #(TILE_LANE + LANE_BYTES)]
    ldr     r12, [lr, #(TILE_LANE + LANE_BYTES + 8)]
    finish  \rounding, r6, r7, r8, r9
    bfi     r2, r6, #8, #8
    bfi     r3, r7, #8, #8
    bfi     r4, r8, #8, #8
    bfi     r5, r9, #8, #8
    ldr     r11, [lr, #TILE_N]
    ldrd    r10, r6, [sp, #AT_Y]
    add     r12, r10, r11, lsl #1
    strh    r2, [r10]
    strh    r3, [r10, r11]
    strh    r4, [r12]
    strh    r5, [r12, r11]
    add     r12, r12, r11, lsl #1
    subs    r6, r6, #1
    strd    r12, r6, [sp, #AT_Y]
    bne     1b
    add     sp, #FRAME
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    tile ek_tile_double_s8, double
    tile ek_tile_single_s8, single
