"""The reference networks of the benches are the architectures of MLPerf Tiny."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.export.compile import compile_tflite
from edgekit.formats.tflite import read_tflite
from edgekit.ops.fixed import Rounding
from edgekit.passes.lower import lower
from tools.bench.models import NETWORKS, network_files

# Multiply-accumulates of the reference files of MLPerf Tiny v1.0.
MACS = {"ad": 264_192, "kws": 2_656_768, "ic": 12_501_632, "vww": 7_489_664}


@pytest.mark.train
def test_networks_have_the_work_of_the_originals_and_dense_weights() -> None:
    files = network_files()
    assert tuple(files) == NETWORKS
    for name, path in files.items():
        source = path.read_bytes()
        assert compile_tflite(source, name=name).nominal_macs == MACS[name]
        graph = lower(read_tflite(source, name=name), rounding=Rounding.SINGLE)
        for tensor in graph.tensors:
            if tensor.data is not None and tensor.data.dtype == np.int8:
                assert np.mean(tensor.data != 0) > 0.9, f"{name}: {tensor.name}"


@pytest.mark.train
def test_a_network_is_built_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = {name: path.stat().st_mtime_ns for name, path in network_files().items()}
    capsys.readouterr()
    assert {name: path.stat().st_mtime_ns for name, path in network_files().items()} == first
    assert capsys.readouterr().err == ""
