"""`[federated]` of the project file: how the devices of a project learn together.

What combines with what is checked where a run is made, as it depends on the devices, too.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]
CODECS = ("float32", "float16", "int8", "top_p", "top_p_int8")
"""Names in the order of their numbers on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedSettings:
    """What a run does beside its strategy's name; every field has a default that is meant.

    Attributes:
        server_rate: Step of the server; 0: the strategy's own (alpha of the Reptile family).
        momentum: Of fedavgm.
        beta1: Of fedadam and fedyogi, as beta2 and tau.
        mu: Proximal term of fedprox in the loss of the devices: mu / 2 * |w - base|^2.
        buffer: Updates that fedbuff waits for.
        max_staleness: Versions behind the current one at which fedbuff discards an update.
        trim: Share of trimmed_mean that is dropped at either end.
        byzantine: Share of liars that multi_krum bears.
        local: Parameters at the end of the vector that tiny_metafed keeps on the device.
        clip: An update's norm counts at most this multiple of the round's median; 0: off.
        weight_cap: Claimed samples count at most this multiple of their median; 0: off.
        align: Leave out updates that point away from the mean of the clipped ones.
        codec: How updates travel.
        share: Of the entries that the top-P codecs send.
        feedback: Whether devices keep what a lossy codec left out, and add it next time.
        cohort: Updates that a round wants, of devices drawn anew; 0: all devices.
        over_select: So many times the cohort are asked.
        seed: Of the draw of cohorts and of the noise; 0: no cohort, no noise.
        noise: Noise multiplier z of DP-FedAvg; 0: off.
        norm: Fixed clipping norm C of DP-FedAvg.
        privacy_delta: The delta at which epsilon is said.
        secure: The server sees only the sum of a round's updates.
        neighbours: Devices that each shares masks and secrets with, if secure.
        threshold: More than this share of them is needed to put a secret together.
        value_range: Bound of each difference of a parameter, if secure.
        most_weight: Samples of a device count at most so many, if secure.
        phase_s: Deadline of each phase but the training, if secure.
    """

    server_rate: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    mu: float = 0.01
    buffer: int = 4
    max_staleness: int = 20
    trim: float = 0.2
    byzantine: float = 0.2
    local: int = 0
    clip: float = 1.0
    weight_cap: float = 2.0
    align: bool = True
    codec: str = "float32"
    share: float = 0.25
    feedback: bool = False
    cohort: int = 0
    over_select: float = 1.3
    seed: int = 0
    noise: float = 0.0
    norm: float = 1.0
    privacy_delta: float = 1e-5
    secure: bool = False
    neighbours: int = 12
    threshold: float = 0.5
    value_range: float = 4.0
    most_weight: int = 1000
    phase_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedSection(FederatedSettings):
    """`[federated]`: a run of learning together.

    Attributes:
        strategy: Name in `edgekit.federated.strategies.STRATEGIES`.
        epochs: Passes of each device over its own samples per round.
        min_devices: Accepted updates without which a round does not count.
        deadline_s: When a round closes, whoever is missing.
        devices: Question for the devices of a run, as `edgekit federate run --select` takes it;
            empty: all that run the image.
    """

    strategy: str = "fedavg"
    rounds: int = 6
    epochs: int = 1
    min_devices: int = 2
    deadline_s: float = 60.0
    devices: str = ""


SETTING_RANGES: dict[str, Range] = {
    "server_rate": (0.0, 1e6),
    "momentum": (0.0, 0.9999),
    "beta1": (0.0, 0.9999),
    "beta2": (0.0, 0.999999),
    "tau": (1e-12, 1e3),
    "mu": (0.0, 1e6),
    "buffer": (1, 10**6),
    "max_staleness": (0, 10**6),
    "trim": (0.0, 0.49),
    "byzantine": (0.0, 0.49),
    "local": (0, 10**9),
    "clip": (0.0, 1e6),
    "weight_cap": (0.0, 1e9),
    "share": (1e-6, 1.0),
    "cohort": (0, 10**6),
    "over_select": (1.0, 100.0),
    "seed": (0, 2**63 - 1),
    "noise": (0.0, 1e6),
    "norm": (1e-9, 1e9),
    "privacy_delta": (1e-12, 0.5),
    "neighbours": (2, 16),
    "threshold": (0.5, 1.0),
    "value_range": (1e-6, 1e6),
    "most_weight": (1, 10**6),
    "phase_s": (0.001, 1e7),
}
FEDERATED_RANGES: dict[tuple[str, str], Range] = {
    ("federated", "rounds"): (1, 100_000),
    ("federated", "epochs"): (1, 1000),
    ("federated", "min_devices"): (1, 10**6),
    ("federated", "deadline_s"): (0.001, 1e7),
    **{("federated", name): limits for name, limits in SETTING_RANGES.items()},
}
FEDERATED_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {("federated", "codec"): CODECS}
