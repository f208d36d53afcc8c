"""Training in torch takes the steps that mlx_lm takes, and goes on where it was ended.

Torch is no package of this suite: `make test-torch TORCH=python` names a Python that has it.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import MagicMock

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.utils import linear_to_lora_layers

from evals.errors import ModelError
from evals.training import train
from evals.training.encode import Encoded, batches
from evals.training.train import Settings

PROGRAM = Path(train.__file__).with_name("in_torch.py")
TORCH = os.environ.get("TORCH", "")
needs_torch = pytest.mark.skipif(not TORCH, reason="TORCH names no Python that has torch")

ARGS = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 97,
    "rope_theta": 1000.0,
    "tie_word_embeddings": True,
}
SETTINGS = Settings(
    iterations=9, warmup=2, tokens_per_batch=256, learning_rate=1e-2, num_layers=2, save_every=3
)


def test_a_line_that_a_killed_training_left_torn_is_dropped_with_the_steps_taken_again(
    tmp_path, monkeypatch
):
    for name in ("torch", "torch.nn", "safetensors.torch"):  # cutting a file needs none of them
        monkeypatch.setitem(sys.modules, name, MagicMock())
    log = tmp_path / "train.jsonl"
    told = ['{"iteration": 10}', '{"iteration": 20}', '{"iteration": 30}', '{"iterat', "4", ""]
    log.write_text("\n".join(told))
    runpy.run_path(str(PROGRAM))["_cut"](log, 20)
    assert log.read_text().splitlines() == told[:2]
    log.write_text(told[0])  # killed before the end of the line
    runpy.run_path(str(PROGRAM))["_cut"](log, 20)
    assert log.read_text() == f"{told[0]}\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    mx.random.seed(5)
    folder = tmp_path_factory.mktemp("base")
    (folder / "config.json").write_text(json.dumps(ARGS))
    weights = dict(tree_flatten(Model(ModelArgs(**ARGS)).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    return folder


@pytest.fixture
def model(base):
    made = Model(ModelArgs(**ARGS))
    made.load_weights(str(base / "model.safetensors"))
    made.freeze()
    linear_to_lora_layers(made, 2, SETTINGS.lora_parameters)
    return made


@pytest.fixture(scope="module")
def rows():
    """Conversations, alone and two in a batch, and rows whose questions stand apart."""
    random = np.random.default_rng(3)
    made = []
    for number in range(18):
        parts = [random.integers(1, 97, random.integers(5, 50)) for _ in range(4)]
        ends = np.cumsum([len(part) for part in parts]).tolist()
        positions = [place for end in ends[1:] for place in range(end - 4, end - 1)]
        made.append(
            Encoded(
                np.concatenate(parts).tolist(), positions, tuple(ends[:-1]) if number % 2 else ()
            )
        )
    assert {len(batch) for batch in batches(made, SETTINGS.tokens_per_batch)} > {1}
    return made


def _work(folder: Path, model) -> Path:
    folder.mkdir()
    config = asdict(SETTINGS) | {"fine_tune_type": "lora"}
    (folder / train.CONFIG).write_text(json.dumps(config))
    weights = dict(tree_flatten(model.trainable_parameters()))
    mx.save_safetensors(str(folder / "0000000_adapters.safetensors"), weights)
    return folder


def _log(work: Path) -> list[float]:
    lines = [json.loads(line) for line in (work / "train.jsonl").read_text().splitlines()]
    return [line["train_loss"] for line in lines if "train_loss" in line]


@needs_torch
def test_the_steps_are_those_of_mlx_and_go_on_after_a_kill(tmp_path, model, base, rows):
    batched = batches(rows, SETTINGS.tokens_per_batch)
    assert len(batched) >= SETTINGS.iterations  # after that, mlx_lm draws another order
    np.random.seed(SETTINGS.seed)
    ours, killed = _work(tmp_path / "ours", model), _work(tmp_path / "killed", model)
    theirs = _work(tmp_path / "theirs", model)
    train._train_in_torch(TORCH, base, ours, batched, SETTINGS)

    shutil.copy(ours / "steps.jsonl", killed)
    process = subprocess.Popen([TORCH, "-I", PROGRAM, base, killed])
    while not (killed / "state.pt").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    kept = train.checkpoints(killed)[-1]
    np.random.seed(SETTINGS.seed)
    train._train_in_torch(TORCH, base, killed, batched, SETTINGS)
    assert train.checkpoints(killed) == train.checkpoints(ours) == [0, 3, 6, 9], kept

    np.random.seed(SETTINGS.seed)
    train._train_in_mlx(model, theirs, rows, rows[:2], SETTINGS)
    for step in (3, 6, 9):
        begun = train.read_checkpoint(ours, 0)
        torch, again, mlx = (train.read_checkpoint(w, step) for w in (ours, killed, theirs))
        for name, value in mlx.items():
            assert not mx.allclose(begun[name], value, atol=1e-3).item()
            assert mx.allclose(torch[name], value, atol=2e-4).item(), (step, name)
            assert mx.allclose(torch[name], again[name], atol=2e-5).item(), (step, name)


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "0000100_adapters.safetensors").write_text("hours of work")
    return folder


@pytest.mark.parametrize(
    ("python", "said"),
    [(sys.executable, "No module named 'torch'"), ("/no/python", "cannot run /no/python: No such")],
)
def test_a_python_without_torch_is_told_before_anything_is_removed(work, base, python, said):
    with pytest.raises(ModelError, match=said):
        train.train(base, work, [], [], SETTINGS, provenance={}, torch=python)
    assert [path.name for path in work.iterdir()] == ["0000100_adapters.safetensors"]


@needs_torch
def test_a_training_goes_on_only_with_the_same_config_and_beginning(
    tmp_path, monkeypatch, model, base, rows
):
    """`train` as a whole, but for a tokenizer, in a folder that is a link, as big ones may be."""
    monkeypatch.setattr("mlx_lm.utils.load_tokenizer", lambda path: None)
    monkeypatch.setattr(train, "encode", lambda row, *rest: row)
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    elsewhere.mkdir()
    work.symlink_to(elsewhere)
    start = _work(tmp_path / "start", model) / "0000000_adapters.safetensors"
    other = tmp_path / "other.safetensors"
    mx.save_safetensors(str(other), {k: v + 0.01 for k, v in mx.load(str(start)).items()})
    fewer = replace(SETTINGS, iterations=6)
    for begins, settings, goes_on in (
        (start, SETTINGS, False),
        (start, SETTINGS, True),
        (other, SETTINGS, False),
        (other, fewer, False),
        (other, fewer, True),
    ):
        curve = elsewhere / "curve.jsonl"
        curve.touch()
        train.train(base, work, rows, [], settings, provenance={}, start=begins, torch=TORCH)
        assert curve.exists() == goes_on
        assert train.checkpoints(work)[-1] == settings.iterations
        assert (elsewhere / "0000000_adapters.safetensors").read_bytes() == begins.read_bytes()
        assert json.loads((work / train.CONFIG).read_text())["steps"] == "torch"


@needs_torch
def test_another_kind_of_llama_is_refused(tmp_path, model, base, rows, capfd):
    scaled = tmp_path / "scaled"
    shutil.copytree(base, scaled)
    config = {**ARGS, "rope_scaling": {"rope_type": "llama3"}}
    (scaled / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="exit code 1"):
        train._train_in_torch(TORCH, scaled, _work(tmp_path / "work", model), [[rows[0]]], SETTINGS)
    assert "know rope_scaling None alone" in capfd.readouterr().err
