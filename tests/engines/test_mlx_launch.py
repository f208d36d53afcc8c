"""A server on several machines: its hostfile and its command, before anything starts."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.config import Target, read_config
from evals.engines.mlx_launch import launching, ranks_in
from evals.errors import ConfigError
from evals.running.targets import copy_model

HERE: dict[str, Any] = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("[", "lists no hosts"),
        ('{"hosts": 3}', "lists no hosts"),
        ('[{"ips": []}]', "lists no hosts"),
        ("[]", "begins with nothing"),
        ('[{"ssh": "second.local", "ips": ["10.0.0.2"]}]', 'begin with "ssh": "127.0.0.1"'),
    ],
)
def test_a_hostfile_that_cannot_serve_is_told(
    content: str | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "hosts.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"launch\.hostfile") as error:
        ranks_in(str(file))
    assert said in str(error.value)


def test_the_command_begins_with_mlx_launch(tmp_path: Path) -> None:
    file = tmp_path / "hosts.json"
    program, *others = launching(str(file), "jaccl", ["--env", "A=1"])
    assert Path(program).name == "mlx.launch"
    assert others == ["--hostfile", str(file), "--backend", "jaccl", "--env", "A=1", "--"]


def test_ranks_get_a_head_each(tmp_path: Path) -> None:
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps({"backend": "ring", "hosts": [HERE, HERE, HERE]}))
    target = Target(model="copy", launch={"hostfile": str(file)})
    model = copy_model(target)
    assert model is not None
    assert model.heads == 3


@pytest.mark.parametrize("more", ['url = "http://127.0.0.1:9/v1"', 'engine = "llama_cpp"'])
def test_only_a_booted_mlx_server_is_launched(more: str, tmp_path: Path) -> None:
    (tmp_path / "evals.toml").write_text(
        f'[targets.default]\n{more}\n[targets.default.launch]\nhostfile = "h"\n'
    )
    with pytest.raises(
        ConfigError, match=r"launch starts mlx_lm\.server: leave url and engine out"
    ):
        read_config(tmp_path)
