import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.engines.folder import check_model, is_hub_name
from evals.errors import ModelError


def write_weights(file: Path, length: int = 4) -> None:
    header = json.dumps(
        {
            "__metadata__": {"format": "mlx"},
            "x": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]},
        }
    ).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(length))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    write_weights(folder / "model.safetensors")
    return folder


def test_a_whole_folder_passes(model: Path) -> None:
    check_model(model)


def test_the_base_model_passes(base_model: Path) -> None:
    check_model(base_model)


def weights(model: Path) -> Path:
    return model / "model.safetensors"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda m: (m / "config.json").unlink(), "has no config.json"),
        (lambda m: (m / "config.json").write_text(""), "config.json cannot be read"),
        (lambda m: (m / "config.json").write_text("[]"), "config.json is not a JSON object"),
        (lambda m: (m / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda m: (m / "tokenizer.json").write_text('{"a'), "tokenizer.json cannot be read"),
        (lambda m: weights(m).unlink(), "has no *.safetensors"),
        (lambda m: weights(m).write_bytes(b""), "is cut off: 0 bytes"),
        (lambda m: weights(m).write_bytes(weights(m).read_bytes()[:20]), "is cut off: 20 bytes"),
        (lambda m: weights(m).write_bytes(weights(m).read_bytes()[:-1]), "is cut off"),
        (lambda m: weights(m).write_bytes(b"\4" + bytes(7) + b"[1]]"), "no safetensors file"),
        (lambda m: weights(m).write_bytes(b"\2" + bytes(7) + b"[]"), "no safetensors file"),
        (
            lambda m: (m / "model.safetensors.index.json").write_text(
                '{"weight_map": {"x": "model-00002-of-00002.safetensors"}}'
            ),
            "model-00002-of-00002.safetensors is missing",
        ),
    ],
)
def test_a_half_built_folder_is_refused(
    damage: Callable[[Path], object], words: str, model: Path
) -> None:
    damage(model)
    with pytest.raises(ModelError) as caught:
        check_model(model)
    assert words in str(caught.value)
    assert str(model) in str(caught.value)
    assert "evals model build" in str(caught.value)


def test_a_file_in_place_of_a_folder_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        check_model(model / "config.json")


@pytest.mark.parametrize(
    ("name", "is_hub"),
    [
        ("mlx-community/Qwen3-0.6B-4bit", True),
        ("/models/mine", False),
        ("./models/mine", False),
        ("models", False),
        ("a/b/c", False),
        ("evals/no-such-model", False),  # a misspelt path: the folder above it is there
    ],
)
def test_hub_names(
    name: str, is_hub: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evals").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(name) is is_hub
    assert not is_hub_name(Path(name))
