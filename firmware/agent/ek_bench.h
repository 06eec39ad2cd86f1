/* Bench mode: run a model on many inputs, count ticks, and leave everything in the bench region.
 *
 * Job, at the start of the region, written by the host. All integers are little-endian, offsets
 * count from the region.
 *
 *      0  "EKBJ"                    20  u32 bytes of the image
 *      4  u16 version 1             24  u32 offset of the inputs
 *      6  u16 1: text, else 0       28  u32 offset of the outputs, erased
 *      8  u32 inputs                32  u32 offset of the result, erased
 *     12  u32 bytes of one input    36  u32 CRC-32 of bytes 0 .. 35
 *     16  u32 bytes of one output
 *
 * An input of text is u32 length, then the text, filled up to the bytes of one input; an output of
 * text is that of the model, then the ids that the model read.
 *
 * Where the region and the image lie: with an agent, in the persistent memory, the image in slot A
 * (ek_bench_store.c). Without an agent the region is a file that the emulator opens for us
 * (ports/common/bench), and the image lies in the flash so that it ends at EK_IMAGE_END, its length
 * rounded up to 16 bytes; the emulator's loader puts it there beside the program.
 *
 * Result, header last:
 *
 *      0  "EKBR"                    24  u32 ticks of the short check loop
 *      4  u16 version 1             28  u32 ticks of the long check loop
 *      6  u16 status as -n          32  u32 instructions between them, 0: not known
 *      8  u32 outputs written       36  u32 0
 *     12  u32 arena bytes touched   40  u32 ticks of each run
 *     16  u32 nodes                     u32 ticks of each node, in one more run
 *                                       u32 ticks of making the ids of each text
 *     20  u32 ticks of an empty measurement
 *
 * Twin: edgekit/flash/bench.py */
#ifndef EK_BENCH_H
#define EK_BENCH_H

#include <stdint.h>

#include "ek_status.h"

#define EK_BENCH_JOB_BYTES 40U
#define EK_BENCH_RESULT_BYTES 40U

/* Runs the job. Returns 0, or the status as a positive number for the exit code. */
int ek_bench_main(void);

/* The image, 16-byte aligned; NULL if it cannot be that long. */
const uint8_t *ek_bench_image(uint32_t bytes);

/* n bytes of the region, or NULL if they cannot be read. They stay until the next call; buffer is
 * NULL or n bytes of memory to put them into, needed where ek_bench_needs_buffer says so. */
const uint8_t *ek_bench_read(uint32_t offset, uint32_t n, uint8_t *buffer);
int ek_bench_needs_buffer(void);

/* Writes bytes of the region that are erased. */
ek_status ek_bench_write(uint32_t offset, const uint8_t *bytes, uint32_t n);

/* Runs a loop whose length in instructions is known, and returns how many instructions one round
 * takes, 0 if the board cannot say. Part of the port: it needs assembly. */
uint32_t ek_check_loop(uint32_t rounds);

#endif
