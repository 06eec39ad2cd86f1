/* ek_tile_small for Armv6-M: one output after the other, 10 instructions for 4 products. Multiple
 * loads are the only cheap ones; each product destroys its pixel, which no one needs again.
 *
 * Eight terms make a round, the first round begins in the middle.
 * r0 weights, r1 pixels, r2 weight, r3-r6 pixels, r7 end of pixels, r8-r11 sums,
 * r12 where the first round begins, lr outputs left */
    .syntax unified
    .thumb
    .section .text.ek_tile_small, "ax", %progbits
    .global ek_tile_small
    .type ek_tile_small, %function
    .set STEP_BYTES, 20
    .set CHUNK_BYTES, 128           /* 4 * EK_SMALL_CHUNK */
    .balign 4
ek_tile_small:
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    rsbs r4, r2, #0
    movs r5, #7
    ands r4, r5                     /* terms that the first round leaves out */
    lsls r5, r4, #2
    subs r0, r0, r5
    lsls r7, r2, #4
    adds r7, r7, r1
    adds r2, r2, r4
    lsls r2, r2, #2
    subs r2, #1                     /* from behind an output's weights to those of the next */
    movs r6, #STEP_BYTES
    muls r6, r4, r6
    adr r4, .Lround
    adds r6, r6, r4
    mov r12, r6
    push {r1-r3}
    movs r4, #4
    mov lr, r4
.Loutput:
    movs r4, #0
    mov r8, r4
    mov r9, r4
    mov r10, r4
    mov r11, r4
    mov pc, r12
    .balign 4
.Lround:
    .set term, 0
    .rept 8
    ldmia r1!, {r3-r6}
    ldrb r2, [r0, #term]
    muls r3, r2, r3
    add r8, r3
    muls r4, r2, r4
    add r9, r4
    muls r5, r2, r5
    add r10, r5
    muls r6, r2, r6
    add r11, r6
    .set term, term + 4
    .endr
    adds r0, #32
    cmp r1, r7
    bne .Lround
    ldr r1, [sp]
    ldr r2, [sp, #4]
    subs r0, r0, r2
    ldr r2, [sp, #8]
    mov r3, r8
    str r3, [r2]
    adds r2, #CHUNK_BYTES
    mov r3, r9
    str r3, [r2]
    adds r2, #CHUNK_BYTES
    mov r3, r10
    str r3, [r2]
    adds r2, #CHUNK_BYTES
    mov r3, r11
    str r3, [r2]
    ldr r2, [sp, #8]
    adds r2, #4
    str r2, [sp, #8]
    mov r3, lr
    subs r3, #1
    mov lr, r3
    bne .Loutput
    add sp, #12
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
    .size ek_tile_small, . - ek_tile_small
