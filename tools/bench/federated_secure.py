"""What secure aggregation costs: bytes and time of a device, time of the server, by cohort."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from edgekit import share
from edgekit.boards import load_board
from edgekit.errors import DeviceError
from edgekit.export.mcu import build_program
from edgekit.export.toolchain import Unit
from edgekit.federated import secure_rounds
from edgekit.federated.aggregate import flat
from edgekit.federated.codecs import HeadWeights, Update, update_bytes
from edgekit.federated.plan import RunPlan
from edgekit.federated.rounds import advance, apply, open_run, receive
from edgekit.federated.secure_client import Member
from edgekit.federated.secure_state import SecurePhase
from edgekit.federated.settings import Settings
from edgekit.flash.qemu import Emulator
from tools.bench.rows import Result, Row

COHORTS = (3, 10, 30, 100, 300, 1_000)
CLASSES, FEATURES = 10, 64
GONE = 0.1  # of the devices go silent after they have shared
BOARD = "mps2_an386"
NEIGHBOURS = 12
PARTS = ("keys", "roster", "share", "open", "masked", "mask")
TIMEOUT_S = 60.0


def measure() -> list[Result]:
    """Measure all; nothing is kept, since it is the machine that is measured.

    Raises:
        DeviceError: If the probe does not end.
        ToolError: If compiler or emulator is missing.
    """
    return [*(_round(count) for count in COHORTS), _board()]


def _round(count: int) -> Result:
    """Go through one round, of which a tenth is silent when the masked updates are asked for."""
    rng = np.random.default_rng(count)
    head = HeadWeights(np.zeros((CLASSES, FEATURES), "f4"), np.zeros(CLASSES, "f4"))
    names = tuple(f"d{index:04d}" for index in range(count))
    plan = RunPlan(
        run=1,
        base_image="",
        rounds=1,
        devices=names,
        epochs=1,
        rate=0.1,
        deadline_s=60.0,
        settings=Settings(secure=True, phase_s=60.0),
    )
    members = {name: Member(1, 1, rng.bytes(32)) for name in names}
    silent = set(names[: int(GONE * count)])
    device_s = dict.fromkeys(names, 0.0)
    up, down = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    server_s, now_s = 0.0, 0.0
    opened = open_run(plan, head)
    state = apply(None, opened.kind, opened.body, time_s=0.0, blob=opened.blob)
    while True:
        begin = time.process_time()
        fact = advance(state, now_s)
        if fact is not None:
            state = apply(state, fact.kind, fact.body, time_s=now_s, blob=fact.blob)
        server_s += time.process_time() - begin
        if fact is not None and fact.kind == "federated.round_closed":
            break
        if fact is not None:
            continue
        assert state.secure is not None
        phase = state.secure.phase
        for name in state.missing:
            if name in silent and phase >= SecurePhase.MASKED:
                continue
            begin = time.process_time()
            handed = secure_rounds.input_of(state, name)
            between = time.process_time()
            said = _said(members[name], phase, handed, head, rng)
            device_s[name] += time.process_time() - between
            server_s += between - begin
            up[name] += len(said)
            down[name] += len(handed)
            begin = time.process_time()
            made = receive(state, name, said, phase)
            state = apply(state, made.kind, made.body, time_s=now_s, blob=made.blob)
            server_s += time.process_time() - begin
        if state.secure is not None and state.missing:
            now_s += secure_rounds.deadline_s(state)
    left = [name for name in names if name not in silent]
    return {
        "set": "secure",
        "cohort": count,
        "silent": len(silent),
        "accepted": state.table[-1].accepted,
        "up_bytes": statistics.median(up[name] for name in left),
        "down_bytes": statistics.median(down[name] for name in left),
        "plain_bytes": update_bytes(CLASSES, FEATURES),
        "device_ms": 1e3 * statistics.median(device_s[name] for name in left),
        "server_s": server_s,
    }


def _said(
    member: Member, phase: SecurePhase, handed: bytes, head: HeadWeights, rng: np.random.Generator
) -> bytes:
    if phase is SecurePhase.KEYS:
        return member.keys()
    if phase is SecurePhase.SHARES:
        return member.shares(handed)
    if phase is SecurePhase.UNMASK:
        return member.reveal(handed)
    values = rng.normal(scale=0.1, size=flat(head).shape).astype(np.float32)
    weights, bias = values[:-CLASSES].reshape(head.weights.shape), values[-CLASSES:]
    return member.masked(handed, Update(1, 1, 60, head.hash, 2.0, 1.0, weights, bias))


def _board() -> Result:
    """Count the instructions of a member's parts on an emulated Cortex-M4."""
    board, firmware = load_board(BOARD), share.firmware()
    sources = (firmware / "bench" / "ek_secure_probe.c", firmware / "agent" / "ek_line.c")
    with tempfile.TemporaryDirectory(prefix="edgekit-probe-") as name:
        work = Path(name)
        program = build_program(board, ops=("add",), out=work, units=[Unit(p) for p in sources])
        child = Emulator(
            board, program.elf, work / "flash.bin", icount=True, log=work / "probe.log"
        )
        with child:
            status = child.wait(TIMEOUT_S)
        text = child.log_tail(50)
    found = dict(re.findall(r"part (\w+) (\d+) 0", text))
    if status != 0 or set(found) != set(PARTS) or board.emulator is None:
        raise DeviceError(f"board '{BOARD}' ended with status {status}: {text[-300:]}")
    scale = 1e9 / board.ticks_hz / board.emulator.instruction_ns
    parts = {part: float(ticks) * scale for part, ticks in found.items()}
    return {"set": "secure_board", "parts": parts}


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures; they have no target but that each round comes to its sum."""
    rounds = [each for each in results if each.get("set") == "secure"]
    good = all(each["accepted"] == each["cohort"] - each["silent"] for each in rounds)
    label = "secure aggregation, rounds that end with the sum, a tenth silent"
    return [Row(label, float(len(COHORTS)), float(len(rounds)), "", good)] if rounds else []


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table by cohort."""
    return [
        [
            f"{each['cohort']:,}",
            f"{each['silent']:,}",
            f"{each['up_bytes']:,.0f}",
            f"{each['down_bytes']:,.0f}",
            f"{each['up_bytes'] / each['plain_bytes']:.2f}",
            f"{each['device_ms']:.1f}",
            f"{each['server_s']:.2f}",
        ]
        for each in results
        if each.get("set") == "secure"
    ]


def board_lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table of instructions."""
    names = {
        "keys": "two public keys",
        "roster": "proving a roster of 12 neighbours",
        "share": "one share made and sealed, 7 of 13",
        "open": "one share opened",
        "masked": "650 values quantized, with the own mask",
        "mask": "the mask of one neighbour on 650 values",
    }
    lines = []
    for each in results:
        if each.get("set") == "secure_board":
            parts = each["parts"]
            lines += [[names[part], f"{parts[part]:,.0f}"] for part in PARTS]
            once = parts["keys"] + parts["roster"] + parts["masked"]
            whole = once + NEIGHBOURS * (parts["share"] + parts["open"] + parts["mask"])
            lines.append([f"a round with {NEIGHBOURS} neighbours", f"{whole:,.0f}"])
    return lines
