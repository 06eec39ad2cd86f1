"""Compile mutated `.tflite` files under a limit of memory. Usage: fuzz_tflite.py COUNT SEED

Prints how many were compiled and how many refused. Ends with 1 at the first that raises anything
but an error of ours, takes longer than SLOWEST_S, or needs more than EXTRA_BYTES of memory beyond
what the program has after compiling every original.
"""

from __future__ import annotations

import resource
import struct
import sys
import time
import traceback
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from op_cases import CASES

from edgekit.errors import EdgekitError
from edgekit.formats.tflite import read_tflite
from edgekit.passes.lower import lower

EXTRA_BYTES = 64_000_000
SLOWEST_S = 2.0
WORDS = (0, 1, 2, 127, 255, 9999, 0xFFFF, 0x10000, 0x10000000, 0x3FFFFFFF, 0x40000000)
WORDS += (0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


def sources() -> list[bytes]:
    made = []
    for op, case in CASES.items():
        for seed in range(2):
            rng = np.random.default_rng([seed, zlib.crc32(op.encode())])
            made.append(case(rng).to_bytes())
    return made


def mutate(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    kind = rng.integers(12)
    if kind == 0:
        return data[: int(rng.integers(0, len(data)))]
    if kind == 1:
        return data + b"PK\x05\x06" + bytes(18)
    if kind == 2:
        cut = int(rng.integers(0, len(data)))
        return data[:cut] + other[cut:]
    mutant = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(mutant) - 4))
        if kind < 6:
            mutant[at] = int(rng.integers(0, 256))
        elif kind < 8:
            mutant[at] ^= 1 << int(rng.integers(0, 8))
        elif kind < 10:
            struct.pack_into("<I", mutant, at & ~3, int(rng.choice(WORDS)))
        else:
            (word,) = struct.unpack_from("<I", mutant, at & ~3)
            word = (word + int(rng.integers(-8, 9))) % 2**32
            struct.pack_into("<I", mutant, at & ~3, word)
    return bytes(mutant)


def used_bytes() -> int:
    """Return the size of this program's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> int:
    count, seed = map(int, sys.argv[1:])
    originals = sources()
    for data in originals:
        lower(read_tflite(data, name="original"))
    limit = used_bytes() + EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng = np.random.default_rng(seed)
    compiled = 0
    for number in range(count):
        pick, second = rng.integers(0, len(originals), 2)
        data = mutate(originals[pick], rng, originals[second])
        start = time.perf_counter()
        try:
            lower(read_tflite(data, name="mutant"))
            compiled += 1
        except EdgekitError:
            pass
        except BaseException:
            traceback.print_exc()
            print(f"mutant {number} of seed {seed}, from original {pick}", file=sys.stderr)
            return 1
        spent = time.perf_counter() - start
        if spent > SLOWEST_S:
            print(f"mutant {number} of seed {seed}: {spent:.1f} s", file=sys.stderr)
            return 1
    print(compiled, count - compiled)
    return 0


if __name__ == "__main__":
    sys.exit(main())
