"""What `tools.bench.mcu` measures its figures against: boards, targets, and figures of others."""

from __future__ import annotations

from dataclasses import dataclass

from tools.bench.models import NETWORKS


@dataclass(frozen=True, slots=True)
class Target:
    """Largest good values of one network.

    Attributes:
        instructions: By board.
        arena_bytes: With input and output, on every board that has a target.
        flash_bytes: Of the C library on a Cortex-M4, without weights.
    """

    instructions: dict[str, int]
    arena_bytes: int
    flash_bytes: int


M4, M55, V6M = "mps2_an386", "mps3_an547", "mps2_an385_v6m"

BOARDS = {
    M4: "Cortex-M4",
    M55: "Cortex-M55",
    V6M: "ARMv6-M code",
    "rv32_virt": "RV32IMAC",
    "mps2_an385": "Cortex-M3",
    "mps2_an500": "Cortex-M7",
    "microbit_v1": "Cortex-M0",
}
"""Boards in the order of the tables, and what their core is called there."""

SMALL_BOARDS = {"microbit_v1": ("kws", "kws_public")}
"""Networks that a real part of this size could hold."""

TARGETS = {
    "ad": Target({M4: 300_000, M55: 60_000, V6M: 1_200_000}, 1_000, 6_000),
    "kws": Target({M4: 3_100_000, M55: 800_000, V6M: 14_000_000}, 12_000, 12_000),
    "ic": Target({M4: 12_500_000, M55: 2_800_000, V6M: 48_000_000}, 42_000, 12_000),
    "vww": Target({M4: 9_500_000, M55: 2_800_000, V6M: 40_000_000}, 42_000, 12_000),
}
TARGETS["kws_public"] = TARGETS["kws"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Figures of another engine for the networks in the order of NETWORKS; None: not known."""

    name: str
    place: str
    values: tuple[int | None, int | None, int | None, int | None]


PEERS = (
    Peer("TFLM + CMSIS-NN", M4, (582_950, 7_696_908, 29_862_956, 24_101_964)),
    Peer("microTVM AOT + CMSIS-NN", M4, (602_418, 8_368_969, 31_692_808, 24_402_077)),
    Peer("TFLM, reference kernels", M4, (1_952_217, 43_040_089, 107_399_353, 100_251_941)),
    Peer("TFLM + CMSIS-NN", M55, (149_992, 1_812_635, 4_911_131, 6_558_334)),
    Peer("TFLM + CMSIS-NN", V6M, (1_763_251, 28_993_634, 97_555_136, 86_903_651)),
    Peer("TFLM + CMSIS-NN", "arena", (2_580, 22_820, 54_996, 100_708)),
    Peer("microTVM AOT + CMSIS-NN", "arena", (1_160, 17_312, 66_112, 64_800)),
    Peer("TinyEngine, answers not verified", "arena", (None, None, None, 60_728)),
    Peer("TFLM + CMSIS-NN, int8 kernels only", "flash", (28_120, 54_432, 52_240, 54_432)),
    Peer("microTVM AOT + CMSIS-NN", "flash", (None, 21_748, 17_344, 25_500)),
)

PEER_SOURCE = (
    "Measured, not published: the reference files of MLPerf Tiny v1.0 (mlcommons/tiny 1afd2c98) "
    "with tflite-micro 90b983c2 and the CMSIS-NN 4ab83cc3 that it pins, with the microTVM sources "
    "of MLPerf Tiny v1.0 (OctoML) on CMSIS-NN v4.0.0, and with TinyEngine 47bb283c; "
    "arm-none-eabi-gcc 12.2.1 -O2, in QEMU 7.2 on the same machines, every executed instruction of "
    "one call counted by a plugin. Flash is the whole program without model; about 1.5 kB of it "
    "are start-up. The microTVM arena of AD leaves out its float input and output."
)

ESTIMATES = {"ad": 340_000, "kws": 3_600_000, "ic": 13_800_000, "vww": 7_400_000}
ESTIMATE_SOURCE = (
    "Published times of closed engines on silicon (MLPerf Tiny v1.2 and v1.3, ST, Cortex-M4 at "
    "120 MHz) in instructions: divided by 1.2 for the wait states of that flash and by 1.19 cycles "
    "per instruction. An estimate, not a measurement; VWW is the public file, half of whose work "
    "lies in channels that are provably constant."
)

assert set(TARGETS) >= set(NETWORKS)
