"""An image that was packed for a board, laid out anew for this machine: same outputs, faster."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from edgekit.formats.image import write_image
from edgekit.formats.image_reader import read_image
from edgekit.ops import ordered
from edgekit.passes.pack import unpack
from edgekit.passes.plan import plan_memory


@lru_cache(maxsize=4)
def for_host(image: bytes) -> bytes:
    """Return the image with constants as this machine's kernels read them; as it is if they are.

    Raises:
        FormatError: If the bytes are no image.
    """
    old = read_image(image)
    graph = unpack(old.graph)
    if graph is old.graph:
        return image
    kernels = ordered({node.op for node in graph.nodes})
    return write_image(
        meta=replace(old.meta, kernel_family="host", kernel_ops=kernels),
        graph=graph,
        plan=plan_memory(graph),
        features=old.features,
        head=old.head,
        golden=old.golden,
    )
