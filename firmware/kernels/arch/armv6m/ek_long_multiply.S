/* 64-bit products for Armv6-M, instead of the compiler's: __aeabi_lmul(r0:r1, r2:r3), modulo 2^64.
 * All kernels that scale by a multiplier call it. With a = a1 * 2^16 + a0 and b alike, the low
 * words' product is a1 * b1 * 2^32 + (a1 * b0 + a0 * b1) * 2^16 + a0 * b0.
 * Source: Run-time ABI for the Arm Architecture, 4.2. */
    .syntax unified
    .thumb
    .section .text.__aeabi_lmul, "ax", %progbits
    .global __aeabi_lmul
    .type __aeabi_lmul, %function
    .balign 4
__aeabi_lmul:
    push {r4, r5, r6}
    muls r1, r2, r1
    muls r3, r0, r3
    adds r1, r1, r3                 /* what the high words add to the high word */
    uxth r3, r0                     /* a0 */
    lsrs r4, r0, #16                /* a1 */
    uxth r5, r2                     /* b0 */
    lsrs r2, r2, #16                /* b1 */
    movs r6, r4
    muls r6, r2, r6
    adds r1, r1, r6                 /* a1 * b1 */
    movs r0, r3
    muls r0, r5, r0                 /* a0 * b0 */
    muls r4, r5, r4                 /* a1 * b0 */
    muls r2, r3, r2                 /* a0 * b1 */
    lsls r5, r4, #16
    lsrs r4, r4, #16
    adds r0, r0, r5
    adcs r1, r4
    lsls r5, r2, #16
    lsrs r2, r2, #16
    adds r0, r0, r5
    adcs r1, r2
    pop {r4, r5, r6}
    bx lr
    .size __aeabi_lmul, . - __aeabi_lmul
