"""Simulation of a run on this machine, mode "exact": the net of each client is the device's C.

Every update is an object with the bytes that would travel, judged and folded by the state machine
of a real run. The parameters travel as a head of one class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgekit.errors import LinkError
from edgekit.federated.aggregate import flat, head_of
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.combine import check_head
from edgekit.federated.fast import Shard, local_layers
from edgekit.federated.nets import DenseNet, Float32Array
from edgekit.federated.plan import RunPlan
from edgekit.federated.simulate import Coder, simulate_answers
from edgekit.federated.state import RunState
from edgekit.runtime.net import DenseNet as DeviceNet


def simulate_nets(
    plan: RunPlan,
    net: DenseNet,
    start: Float32Array,
    shards: Mapping[str, Shard],
    *,
    evaluate: Callable[[Float32Array], float] | None = None,
    told: Callable[[RunState], None] | None = None,
) -> RunState:
    """Run all rounds of a plan; the devices' names are the keys of `shards`.

    Raises:
        ConfigError: If the local part of tiny_metafed is not whole layers, or is too large.
    """
    check_head(plan.settings, classes=1, features=len(start) - 1)
    local_layers(net, plan.settings.local)
    coder = Coder(plan)

    def answer(device: str, round_: int, base: HeadWeights) -> list[bytes]:
        shard = shards[device]
        try:
            update = _trained(plan, net, shard, round_, base)
        except LinkError:  # a step that is not finite: the device refuses its task
            return []
        return [coder.encode(device, update)]

    measure = None if evaluate is None else (lambda made: evaluate(flat(made)))
    return simulate_answers(
        plan,
        head_of(start.astype(np.float32), (1, len(start) - 1)),
        answer,
        present=shards.keys(),
        evaluate=measure,
        told=told,
    )


def _trained(plan: RunPlan, net: DenseNet, shard: Shard, round_: int, base: HeadWeights) -> Update:
    values = flat(base)
    kept_back = len(net.layer_sizes) - local_layers(net, plan.settings.local).start
    device = DeviceNet(
        net.sizes,
        hidden=net.activation,
        loss="softmax" if net.loss == "softmax" else "square",
        parameters=values,
    )
    losses = [
        device.train(
            shard.x,
            shard.y,
            rate=plan.rate,
            decay=plan.decay,
            mu=plan.mu,
            base=values,
            local=kept_back,
        )
        for _ in range(plan.epochs)
    ]
    moved = head_of(device.parameters - values, (1, len(values) - 1))
    return Update(
        plan.run,
        round_,
        len(shard.x),
        base.hash,
        losses[0],
        losses[-1],
        moved.weights,
        moved.bias,
    )
