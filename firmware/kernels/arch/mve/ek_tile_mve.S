/* Four channels times two pixels; see ek_tile_mve.h.
 *
 * Registers: r0, r2, r4, r6 sums of the first pixel, r8, r10, r12, lr those of the second, r9 and
 * r11 pixels, r1 weights, r5 and r7 outputs, r3 rounds left. q0, q1 pixels, q2, q3 weights, q5 zero
 * point, q6 and q7 limits.
 */
    .syntax unified
    .thumb

    .equ TILE_X, 0
    .equ TILE_X_STEP, 4
    .equ TILE_W, 8
    .equ TILE_Y, 12
    .equ TILE_Y_STEP, 16
    .equ TILE_PIXELS, 20
    .equ TILE_QUADS, 24
    .equ TILE_STEPS, 28
    .equ TILE_ZERO, 32
    .equ TILE_LOW, 36
    .equ TILE_HIGH, 40

    .equ AT_X, 0                /* of both pixels */
    .equ AT_ROUNDS, 8
    .equ AT_ENTRY, 12           /* where the first round starts */
    .equ AT_Y_END, 16
    .equ AT_W, 20
    .equ AT_X_STEP, 24
    .equ AT_Y_STEP, 28
    .equ AT_X_GAP, 32           /* from the end of a pixel to the next */
    .equ AT_Y_GAP, 36
    .equ AT_PIXELS, 40
    .equ AT_Y_BYTES, 44
    .equ FRAME, 48

    .equ UNROLL, 4
    .equ STEP_BYTES, 56

/* 16 terms: 128 products. Every instruction has 4 bytes, STEP_BYTES together. */
.macro step multiply
    vldrb.u8 q0, [r9], #16
    vldrw.u32 q2, [r1], #64
    vldrb.u8 q1, [r11], #16
    \multiply r0, q0, q2
    vldrw.u32 q3, [r1, #-48]
    \multiply r8, q1, q2
    vldrw.u32 q2, [r1, #-32]
    \multiply r2, q0, q3
    \multiply r10, q1, q3
    vldrw.u32 q3, [r1, #-16]
    \multiply r4, q0, q2
    \multiply r12, q1, q2
    \multiply r6, q0, q3
    \multiply lr, q1, q3
.endm

.macro tile name, rounding
    .section .text.\name, "ax", %progbits
    .p2align 2
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    vpush   {d10-d15}
    sub     sp, #FRAME
    ldr     r1, [r0, #TILE_ZERO]
    ldr     r2, [r0, #TILE_LOW]
    ldr     r3, [r0, #TILE_HIGH]
    vdup.16 q5, r1
    vdup.16 q6, r2
    vdup.16 q7, r3
    /* After the first step: rounds of UNROLL steps, the first one does what is left over. */
    ldr     r1, [r0, #TILE_STEPS]
    lsls    r8, r1, #4
    adr     r6, 4f
    subs    r1, #1
    beq     1f
    adds    r2, r1, #(UNROLL - 1)
    lsrs    r2, r2, #2
    str     r2, [sp, #AT_ROUNDS]
    subs    r1, #1
    and     r1, r1, #(UNROLL - 1)
    adds    r1, #1
    movs    r3, #STEP_BYTES
    adr     r6, 3f
    mls     r6, r1, r3, r6
1:
    adds    r6, #1
    str     r6, [sp, #AT_ENTRY]
    ldr     r4, [r0, #TILE_X_STEP]
    ldr     r6, [r0, #TILE_Y_STEP]
    ldr     r10, [r0, #TILE_QUADS]
    lsl     r10, r10, #2
    strd    r4, r6, [sp, #AT_X_STEP]
    sub     r2, r4, r8
    sub     r3, r6, r10
    strd    r2, r3, [sp, #AT_X_GAP]
    ldr     r2, [r0, #TILE_PIXELS]
    ldr     r1, [r0, #TILE_W]
    str     r1, [sp, #AT_W]
    strd    r2, r10, [sp, #AT_PIXELS]
    ldr     r9, [r0, #TILE_X]
    ldr     r5, [r0, #TILE_Y]
    b       6f
    .p2align 2
2:
    /* Four channels of two pixels. */
    step    vmladav.s8
    ldr     r3, [sp, #AT_ROUNDS]
    ldr     pc, [sp, #AT_ENTRY]
    .p2align 2
7:
    .rept   UNROLL
    step    vmladava.s8
    .endr
3:
    subs    r3, #1
    bne     7b
    .p2align 2
4:
    vmov    q0[2], q0[0], r0, r4
    vmov    q0[3], q0[1], r2, r6
    vmov    q1[2], q1[0], r8, r12
    vmov    q1[3], q1[1], r10, lr
    vldrw.u32 q2, [r1], #48
    vadd.i32 q0, q0, q2
    vadd.i32 q1, q1, q2
    vldrw.u32 q2, [r1, #-32]
    .ifc \rounding, single
    vqdmulh.s32 q0, q0, q2
    vqdmulh.s32 q1, q1, q2
    .else
    vqrdmulh.s32 q0, q0, q2
    vqrdmulh.s32 q1, q1, q2
    .endif
    .ifc \rounding, away
    /* h + (h >> 31) */
    movs    r3, #1
    vqdmlah.s32 q0, q0, r3
    vqdmlah.s32 q1, q1, r3
    .endif
    vldrw.u32 q2, [r1, #-16]
    vrshl.s32 q0, q0, q2
    vrshl.s32 q1, q1, q2
    vqmovnb.s32 q0, q0
    vqmovnt.s32 q0, q1
    vqadd.s16 q0, q0, q5
    vmax.s16 q0, q0, q6
    vmin.s16 q0, q0, q7
    ldr     r3, [sp, #AT_Y_END]
    vstrb.32 q0, [r5], #4
    vshr.u32 q0, q0, #16
    vstrb.32 q0, [r7], #4
    cmp     r5, r3
    itt     ne
    ldrdne  r9, r11, [sp, #AT_X]
    bne     2b
    /* The next two pixels. */
    ldrd    r2, r10, [sp, #AT_PIXELS]
    subs    r2, #2
    bls     8f
    ldrd    r4, r6, [sp, #AT_X_GAP]
    str     r2, [sp, #AT_PIXELS]
    add     r9, r11, r4
    adds    r5, r7, r6
    ldrd    r4, r6, [sp, #AT_X_STEP]
    ldr     r1, [sp, #AT_W]
6:
    cmp     r2, #1
    beq     9f
5:
    add     r11, r9, r4
    adds    r7, r5, r6
    strd    r9, r11, [sp, #AT_X]
    add     r10, r5
    str     r10, [sp, #AT_Y_END]
    b       2b
9:
    /* A last pixel alone is computed twice. */
    movs    r4, #0
    movs    r6, #0
    b       5b
8:
    add     sp, #FRAME
    vpop    {d10-d15}
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    tile    ek_tile_double_mve, double
    tile    ek_tile_away_mve, away
    tile    ek_tile_single_mve, single
