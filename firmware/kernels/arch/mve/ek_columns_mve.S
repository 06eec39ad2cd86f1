/* One row of a depthwise convolution; see ek_columns_mve.h.
 *
 * Registers: r0, r2, r4, r6 sums of the first pixel, r8, r10, r12, lr those of the second, r1
 * weights, r5 and r7 outputs, r3 records left, r9 pixels left less 2, r11 to the next columns. q0,
 * q1 columns, q2 weights, q3 zero point, q4 and q5 addresses of columns, q6 and q7 limits.
 */
    .syntax unified
    .thumb

    .equ ROW_ROWS, 0
    .equ ROW_STEPS, 12
    .equ ROW_COLUMNS, 24
    .equ ROW_COUNT, 28
    .equ ROW_CHANNELS, 32
    .equ ROW_FIRST, 36
    .equ ROW_STRIDE, 40
    .equ ROW_W, 44
    .equ ROW_Y, 48
    .equ ROW_Y_STEP, 52
    .equ ROW_PIXELS, 56
    .equ ROW_ZERO, 60
    .equ ROW_LOW, 64
    .equ ROW_HIGH, 68

    .equ COLUMN_BYTES, 64
    .equ AT_W, 0
    .equ AT_QUADS, 4
    .equ AT_Y_GAP, 8
    .equ FRAME, 16

.macro channel first, second
    vldrw.u32 q0, [q4, #4]!
    vldrw.u32 q1, [q5, #4]!
    vldrw.u32 q2, [r1], #16
    vmladav.s8 \first, q0, q2
    vmladav.s8 \second, q1, q2
.endm

.macro columns name, rounding
    .section .text.\name, "ax", %progbits
    .p2align 2
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    vpush   {d8-d15}
    sub     sp, #FRAME
    /* Columns: one word per channel. */
    ldr     r8, [r0, #ROW_CHANNELS]
    ldr     lr, [r0, #ROW_COUNT]
    ldrd    r1, r2, [r0, #ROW_ROWS]
    ldrd    r3, r4, [r0, #(ROW_ROWS + 8)]
    ldrd    r5, r6, [r0, #(ROW_STEPS + 4)]
    ldr     r7, [r0, #ROW_COLUMNS]
    vctp.8  r8
    dls     lr, lr
1:
    vpsttt
    vldrbt.u8 q0, [r1]
    vldrbt.u8 q1, [r2]
    vldrbt.u8 q2, [r3]
    add     r1, r4
    add     r2, r5
    add     r3, r6
    vst40.8 {q0, q1, q2, q3}, [r7]
    vst41.8 {q0, q1, q2, q3}, [r7]
    vst42.8 {q0, q1, q2, q3}, [r7]
    vst43.8 {q0, q1, q2, q3}, [r7]!
    le      lr, 1b
    ldr     r1, [r0, #ROW_ZERO]
    ldr     r2, [r0, #ROW_LOW]
    ldr     r3, [r0, #ROW_HIGH]
    vdup.16 q3, r1
    vdup.16 q6, r2
    vdup.16 q7, r3
    /* Addresses of four columns, a word before. */
    ldr     r1, [r0, #ROW_FIRST]
    ldr     r4, [r0, #ROW_STRIDE]
    subs    r1, #4
    movs    r2, #0
    vidup.u32 q4, r2, #8
    vshl.i32 q4, q4, #3
    vadd.i32 q4, q4, r1
    vadd.i32 q5, q4, r4
    lsls    r4, r4, #1
    sub     r11, r4, r8, lsl #2
    ldr     r5, [r0, #ROW_Y]
    ldr     r7, [r0, #ROW_Y_STEP]
    lsls    r6, r7, #1
    sub     r6, r6, r8
    add     r7, r5
    str     r6, [sp, #AT_Y_GAP]
    ldr     r1, [r0, #ROW_W]
    lsr     r3, r8, #2
    strd    r1, r3, [sp, #AT_W]
    ldr     r9, [r0, #ROW_PIXELS]
    subs    r9, #2
    bmi     5f
    .p2align 2
2:
    /* Four channels of two pixels. */
    channel r0, r8
    channel r2, r10
    channel r4, r12
    channel r6, lr
    vmov    q0[2], q0[0], r0, r4
    vmov    q0[3], q0[1], r2, r6
    vmov    q1[2], q1[0], r8, r12
    vmov    q1[3], q1[1], r10, lr
    vldrw.u32 q2, [r1], #48
    vadd.i32 q0, q0, q2
    vadd.i32 q1, q1, q2
    vldrw.u32 q2, [r1, #-32]
    vqrdmulh.s32 q0, q0, q2
    vqrdmulh.s32 q1, q1, q2
    .ifc \rounding, away
    /* h + (h >> 31) */
    movs    r0, #1
    vqdmlah.s32 q0, q0, r0
    vqdmlah.s32 q1, q1, r0
    .endif
    vldrw.u32 q2, [r1, #-16]
    vrshl.s32 q0, q0, q2
    vrshl.s32 q1, q1, q2
    vqmovnb.s32 q0, q0
    vqmovnt.s32 q0, q1
    vqadd.s16 q0, q0, q3
    vmax.s16 q0, q0, q6
    vmin.s16 q0, q0, q7
    vstrb.32 q0, [r5], #4
    vshr.u32 q0, q0, #16
    vstrb.32 q0, [r7], #4
    subs    r3, #1
    bne     2b
    /* The next two pixels. */
    ldr     r0, [sp, #AT_Y_GAP]
    ldrd    r1, r3, [sp, #AT_W]
    vadd.i32 q4, q4, r11
    vadd.i32 q5, q5, r11
    add     r5, r0
    add     r7, r0
    subs    r9, #2
    bpl     2b
5:
    cmn     r9, #1
    bne     6f
    /* A last pixel alone is computed twice. */
    vmov    q5, q4
    mov     r7, r5
    b       2b
6:
    add     sp, #FRAME
    vpop    {d8-d15}
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    columns ek_columns_double_mve, double
    columns ek_columns_away_mve, away
