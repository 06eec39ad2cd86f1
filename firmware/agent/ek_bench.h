/* Bench mode: run a model on many inputs, count ticks, and leave everything in the bench region.
 *
 * Job, at the start of the region, written by the host. All integers are little-endian, offsets
 * count from the region.
 *
 *      0  "EKBJ"                    20  u32 bytes of the image in slot A
 *      4  u16 version 1             24  u32 offset of the inputs
 *      6  u16 0                     28  u32 offset of the outputs, erased
 *      8  u32 inputs                32  u32 offset of the result, erased
 *     12  u32 bytes of one input    36  u32 CRC-32 of bytes 0 .. 35
 *     16  u32 bytes of one output
 *
 * Result, header last:
 *
 *      0  "EKBR"                    24  u32 ticks of the short check loop
 *      4  u16 version 1             28  u32 ticks of the long check loop
 *      6  u16 status as -n          32  u32 instructions between them, 0: not known
 *      8  u32 outputs written       36  u32 0
 *     12  u32 arena bytes touched   40  u32 ticks of each run
 *     16  u32 nodes                     u32 ticks of each node, in one more run
 *     20  u32 ticks of an empty measurement
 *
 * Twin: edgekit/flash/bench.py */
#ifndef EK_BENCH_H
#define EK_BENCH_H

#include <stdint.h>

#define EK_BENCH_JOB_BYTES 40U
#define EK_BENCH_RESULT_BYTES 40U

/* Runs the job. Returns 0, or the status as a positive number for the exit code. */
int ek_bench_main(void);

/* Runs a loop whose length in instructions is known, and returns how many instructions one round
 * takes, 0 if the board cannot say. Part of the port: it needs assembly. */
uint32_t ek_check_loop(uint32_t rounds);

#endif
