"""Which tools a served model was trained on: known of the models built here, and of no other."""

from pathlib import Path

import pytest

from evals.models.build import ADAPTERS, TOOLS, trained_tools
from evals.training.catalogue import read_catalogue

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("adapter", ["catalogue", "reading"])
@pytest.mark.parametrize("ending", ["fp16", "5bit-group32", "5bit-group32-float32"])
def test_a_model_that_is_built_here_tells_its_tools(adapter, ending):
    from evals.models import build

    digest = build._adapter_digest(ADAPTERS / adapter)
    names = trained_tools(Path(f"smollm2-135m-0123456789ab-{digest}-{ending}"))
    assert names is not None
    assert set(names) == {tool.name for tool in read_catalogue(ROOT / "cases" / "tools").tools}


@pytest.mark.parametrize("name", ["replay-hermes-d56d4e621937", "Qwen3-Coder-30B", "smollm2-135m"])
def test_of_another_model_nothing_is_known(name):
    assert trained_tools(Path(name)) is None


def test_each_shipped_adapter_has_its_list():
    for adapter in ADAPTERS.glob("*/adapters.safetensors"):
        assert (adapter.parent / TOOLS).is_file(), adapter.parent
