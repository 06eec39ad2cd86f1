/* Four channels times one pixel; see ek_tile_mve.h.
 *
 * Registers: r4, r6, r8, r10 sums, r9 pixel, r11 where it starts, r1 weights, r3 output, r2 records
 * left, r12 steps but the first, r5 zero point. q0 pixel, q1, q2 weights, q3 and q4 limits.
 */
    .syntax unified
    .thumb

    .equ TILE_X, 0
    .equ TILE_W, 8
    .equ TILE_Y, 12
    .equ TILE_QUADS, 24
    .equ TILE_STEPS, 28
    .equ TILE_ZERO, 32
    .equ TILE_LOW, 36
    .equ TILE_HIGH, 40

/* 16 terms: 64 products. */
.macro step multiply
    vldrb.u8 q0, [r9], #16
    vldrw.u32 q1, [r1], #64
    vldrw.u32 q2, [r1, #-48]
    \multiply r4, q0, q1
    vldrw.u32 q1, [r1, #-32]
    \multiply r6, q0, q2
    vldrw.u32 q2, [r1, #-16]
    \multiply r8, q0, q1
    \multiply r10, q0, q2
.endm

.macro row name, rounding
    .section .text.\name, "ax", %progbits
    .p2align 2
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    vpush   {d8-d9}
    ldr     r11, [r0, #TILE_X]
    ldr     r1, [r0, #TILE_W]
    ldr     r3, [r0, #TILE_Y]
    ldr     r2, [r0, #TILE_QUADS]
    ldr     r12, [r0, #TILE_STEPS]
    sub     r12, r12, #1
    ldr     r5, [r0, #TILE_ZERO]
    ldr     r4, [r0, #TILE_LOW]
    vdup.16 q3, r4
    ldr     r4, [r0, #TILE_HIGH]
    vdup.16 q4, r4
    movs    r7, #1
1:
    mov     r9, r11
    step    vmladav.s8
    wls     lr, r12, 3f
2:
    step    vmladava.s8
    le      lr, 2b
3:
    vmov    q0[2], q0[0], r4, r8
    vmov    q0[3], q0[1], r6, r10
    vldrw.u32 q1, [r1], #48
    vadd.i32 q0, q0, q1
    vldrw.u32 q1, [r1, #-32]
    .ifc \rounding, single
    vqdmulh.s32 q0, q0, q1
    .else
    vqrdmulh.s32 q0, q0, q1
    .endif
    .ifc \rounding, away
    /* h + (h >> 31) */
    vqdmlah.s32 q0, q0, r7
    .endif
    vldrw.u32 q1, [r1, #-16]
    vrshl.s32 q0, q0, q1
    vqmovnb.s32 q0, q0
    vqadd.s16 q0, q0, r5
    vmax.s16 q0, q0, q3
    vmin.s16 q0, q0, q4
    vstrb.32 q0, [r3], #4
    subs    r2, #1
    bne     1b
    vpop    {d8-d9}
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    row     ek_row_away_mve, away
    row     ek_row_single_mve, single
