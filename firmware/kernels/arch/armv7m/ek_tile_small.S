/* ek_tile_small for Armv7-M without lanes: one output after the other, 6 instructions for 4
 * products.
 *
 * Eight terms make a round, the first round begins in the middle.
 * r0 weights, r1 pixels, r2 weight, r3-r6 pixels, r7 end of pixels, r8-r11 sums,
 * r12 where the first round begins, lr where sums go */
    .syntax unified
    .thumb
    .section .text.ek_tile_small, "ax", %progbits
    .global ek_tile_small
    .type ek_tile_small, %function
    .set STEP_BYTES, 24
    .set CHUNK_BYTES, 128           /* 4 * EK_SMALL_CHUNK */
    .balign 4
ek_tile_small:
    push {r1, r4-r11, lr}
    mov lr, r3
    rsb r4, r2, #0
    and r4, r4, #7                  /* terms that the first round leaves out */
    sub r0, r0, r4, lsl #2
    add r7, r1, r2, lsl #4
    add r2, r2, r4
    lsls r2, r2, #2
    subs r2, r2, #1                 /* from behind an output's weights to those of the next */
    adr r12, .Lround
    movs r5, #STEP_BYTES
    mla r12, r4, r5, r12
    orr r12, r12, #1
    add r4, r3, #16                 /* end of sums */
    push {r2, r4}
.Loutput:
    movs r8, #0
    movs r9, #0
    movs r10, #0
    movs r11, #0
    bx r12
    .balign 4
.Lround:
    .set term, 0
    .rept 8
    ldmia.w r1!, {r3-r6}
    ldrb.w r2, [r0, #term]
    mla r8, r3, r2, r8
    mla r9, r4, r2, r9
    mla r10, r5, r2, r10
    mla r11, r6, r2, r11
    .set term, term + 4
    .endr
    adds r0, #32
    cmp r1, r7
    bne .Lround
    ldr r2, [sp]
    ldr r3, [sp, #4]
    ldr r1, [sp, #8]
    subs r0, r0, r2
    str r9, [lr, #CHUNK_BYTES]
    str r10, [lr, #2 * CHUNK_BYTES]
    str r11, [lr, #3 * CHUNK_BYTES]
    str r8, [lr], #4
    cmp lr, r3
    bne .Loutput
    add sp, sp, #12
    pop {r4-r11, pc}
    .size ek_tile_small, . - ek_tile_small
