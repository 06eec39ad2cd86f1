"""`edgekit federate export`: the head of a run as a model image, ready to be published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel
    from edgekit.federated.live import Run
    from edgekit.journal import Journal


def export_head(
    journal: Journal, run: Run, out: Path, *, version: str | None, accept: Path | None
) -> CompiledModel:
    """Write the base image with the head that a run has reached, and register the new model.

    Args:
        version: Of the model; None: that of the base with the number of the run.
        accept: Samples that give the range of the new outputs; None: those that the run came with.

    Raises:
        RefusedError: If there are none, or the image does not take another head.
    """
    from edgekit.cli.federate_plan import find_release, labelled
    from edgekit.data.files import write_atomic
    from edgekit.errors import RefusedError
    from edgekit.export.compile import replace_head
    from edgekit.federated.accuracy import Labelled
    from edgekit.federated.orders import run_states

    plan = run.plan
    release = find_release(journal, plan.base_image)
    base = journal.blob(release.blob)
    if accept is None and not plan.accept:
        raise RefusedError(
            f"run {plan.run} came without labelled samples; give --accept with some, they set the"
            " range of the new outputs"
        )
    known = labelled(base, accept) if accept else journal.blob(plan.accept)
    head = run_states(journal, plan.run)[plan.run].head
    model = replace_head(
        base,
        version=version or f"{release.manifest.version}-run{plan.run}",
        weights=head.weights,
        bias=head.bias,
        calibration=Labelled.decode(known).features,
    )
    write_atomic(out, model.image)
    _register(journal, model, plan.base_image, plan.run)
    return model


def _register(journal: Journal, model: CompiledModel, base_image: str, run: int) -> None:
    """Enter the model with what it came from, for each device class of its base."""
    from edgekit.fleet.releases import releases
    from edgekit.service.describe import model_body

    name = model.id.hex()
    said = [event.body for event in journal.events(0, ("model.registered",), subject=name)]
    classes = {r.manifest.device_class for r in releases(journal) if r.image_id == base_image}
    for device_class in sorted(classes):
        body = model_body(model, device_class=device_class, derived_from=base_image, run=str(run))
        if body not in said:
            journal.append("model.registered", name, body)
