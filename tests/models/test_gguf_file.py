"""Names and row orders of GGUF files: the inverse of how the base model's file is read."""

import numpy as np
import pytest

from evals.models import base
from evals.models.gguf_file import permute, tensor_name


@pytest.mark.parametrize("heads", [1, 3, 9])
def test_rows_come_back_in_their_order(heads: int) -> None:
    values = np.arange(heads * 8 * 5, dtype=np.float32).reshape(heads * 8, 5)
    assert not np.array_equal(permute(values, heads), values)
    assert np.array_equal(base._unpermute(permute(values, heads), heads), values)


@pytest.mark.parametrize(("theirs", "ours"), base._LAYER.items())
def test_every_array_has_the_name_that_it_is_read_by(theirs: str, ours: str) -> None:
    assert tensor_name(f"model.layers.12.{ours}.weight") == f"blk.12.{theirs}.weight"


def test_names_outside_of_layers_and_of_biases() -> None:
    assert tensor_name("model.embed_tokens.weight") == "token_embd.weight"
    assert tensor_name("model.norm.weight") == "output_norm.weight"
    assert tensor_name("model.layers.0.self_attn.q_proj.bias") == "blk.0.attn_q.bias"
