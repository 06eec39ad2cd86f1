"""Model families and their sizes, without the training framework."""

import subprocess
import sys

import pytest

from edgekit.errors import ConfigError
from edgekit.models import MODELS, find_family, make_config


@pytest.mark.parametrize("family", MODELS, ids=lambda family: family.name)
def test_defaults_are_a_valid_configuration(family):
    assert make_config(family.name, {}) == family.config()


def test_unknown_family_is_refused():
    with pytest.raises(ConfigError, match="there are: tinyvit, embbert"):
        find_family("tinyvitt")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"head": 2}, "unknown size 'head'; did you mean 'heads'"),
        ({"heads": 2.0}, "'heads' is 2.0, not an integer"),
        ({"heads": True}, "'heads' is True, not an integer"),
        ({"heads": 3}, "does not divide into 3 heads"),
        ({"side": 7}, "must be even"),
        ({"blocks": 0}, "at least one block"),
    ],
)
def test_wrong_sizes_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        make_config("tinyvit", sizes)


def test_models_train_and_quantize_do_not_load_the_framework():
    """Importing it takes five seconds, which only workers may pay."""
    modules = "edgekit.models.worker, edgekit.models.saved, edgekit.train.launch"
    code = (
        f"import sys, {modules}, edgekit.quantize.runs\n"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'ai_edge_litert')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
