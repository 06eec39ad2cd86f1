"""When a text model begins to train with the rounding of its int8 file, and with which ranges.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

from typing import Any

from edgekit.models.embbert import EmbBertConfig
from edgekit.models.text_aware import AwareNetwork
from edgekit.quantize.embbert import quantize_embbert
from edgekit.quantize.text_convert import calibration_rows
from edgekit.quantize.text_runs import CALIBRATION_SAMPLES
from edgekit.train.batches import Int32Array
from edgekit.train.step import Stepper


class Aware:
    """The part of a training run that knows of int8.

    Attributes:
        scales: Scale and zero point by name, since they were last measured; what a resumed run
            needs.
    """

    def __init__(self, network: AwareNetwork, ids: Int32Array, *, first: int) -> None:
        """Prepare.

        Args:
            network: What computes from then on.
            ids: Rows of the training part; some of them show the ranges.
            first: Step from which on it does.

        Raises:
            QuantizationError: If the model has no int8 file, before time is spent on training it.
        """
        length = network.config.length
        rows = calibration_rows(len(ids), samples=CALIBRATION_SAMPLES, length=length)
        self._network, self._ids, self._first = network, ids[rows, :length], first
        self.scales: dict[str, tuple[float, float]] = {}
        file_scales(network.model, network.config, self._ids)

    def prepare(self, stepper: Stepper, number: int, *, anew: bool) -> None:
        """Get ready for a step.

        Args:
            stepper: What takes it.
            number: Of the step, from 0.
            anew: Measure the ranges again.
        """
        if number < self._first:
            return
        if anew or number == self._first:
            stepper.fold()
            network = self._network
            self._take(file_scales(network.model, network.config, self._ids))
        stepper.change(self._network)

    def restore(self, scales: dict[str, Any]) -> None:
        """Take up the `scales` of a checkpoint."""
        if scales:
            self._take({name: (float(s), float(z)) for name, (s, z) in scales.items()})

    def _take(self, scales: dict[str, tuple[float, float]]) -> None:
        self.scales = scales
        self._network.set_scales(scales)


def file_scales(
    model: Any, config: EmbBertConfig, ids: Int32Array
) -> dict[str, tuple[float, float]]:
    """Return scales and zero points that the int8 file of the weights as they are would have.

    Args:
        model: The Keras model.
        config: Its configuration.
        ids: Sentences that show the ranges, [N, L].
    """
    traced = quantize_embbert(model, config, ids)
    pairs = zip(traced.scales, map(float, traced.zeros), strict=True)
    scales = dict(zip(traced.names, pairs, strict=True))
    return scales | {name: (scale, 0.0) for name, scale in traced.constants.items()}
