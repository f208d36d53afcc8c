"""An engine in an environment of its own: made with what is pinned, and found there."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from evals.engines.engine import Engine
from evals.engines.environment import home_of, install, installed
from evals.engines.registry import ENGINES, OLLAMA
from evals.errors import ServerError

PROGRAM = "#!python\nimport sys\nprint(sys.argv)\n"


def wheel(folder: Path, version: str, needs: str = "") -> str:
    """A requirement on a wheel with the program `tiny-serve`, which `needs` another."""
    name = f"tiny_serve-{version}"
    path = folder / f"{name}-py3-none-any.whl"
    info = f"{name}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.data/scripts/tiny-serve", PROGRAM)
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: tiny-serve\nVersion: {version}\n"
            + (f"Requires-Dist: {needs}\n" if needs else ""),
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return f"tiny-serve @ {path.as_uri()}"


def test_an_environment_is_made_once_and_found(tmp_path: Path) -> None:
    engine = Engine("tiny", "Tiny", command=("tiny-serve", "{model}"), package="tiny-serve")
    engine = replace(engine, pins=(wheel(tmp_path, "1.0"),))
    told: list[str] = []
    assert (home_of(engine, tmp_path), installed(engine, tmp_path)) == (None, None)
    assert not engine.can_boot()

    home = install(engine, tmp_path, told.append)
    assert home_of(engine, tmp_path) == home
    assert installed(engine, tmp_path) == "1.0"
    assert engine.can_boot(home)
    program, model = engine.argv("m", 1, home=home)
    assert Path(program).is_file()
    assert model == "m"

    (home / "kept").touch()
    install(engine, tmp_path, told.append)
    assert (home / "kept").exists()
    install(replace(engine, pins=(wheel(tmp_path, "2.0"),)), tmp_path, told.append)
    assert installed(engine, tmp_path) == "2.0"
    assert not (home / "kept").exists()
    assert [" has " in line for line in told] == [False, True, False]


def test_a_failed_installation_is_told_and_is_none(tmp_path: Path) -> None:
    engine = Engine("tiny", "Tiny", pins=(f"tiny @ {(tmp_path / 'none.whl').as_uri()}",))
    with pytest.raises(ServerError, match=r"Tiny cannot be installed: .*none\.whl"):
        install(engine, tmp_path, lambda text: None)
    assert home_of(engine, tmp_path) is None
    with pytest.raises(
        ServerError, match=r"ollama is not installed by this suite: see ollama\.com"
    ):
        install(OLLAMA, tmp_path, lambda text: None)


def test_what_is_played_can_be_installed_or_is_in_this_environment() -> None:
    for engine in ENGINES:
        assert not engine.replays or engine.pins, engine.name


def test_each_engine_that_is_started_has_a_line_for_a_shell() -> None:
    lines = {e.name: e.shell('"$(model)"', 8080, ("--x",)) for e in ENGINES if e.command}
    assert lines["mlx_lm"] == (
        'python -m mlx_lm server --model "$(model)" --host 127.0.0.1 --port 8080 --x'
    )
    assert lines["llama_cpp"].startswith('llama-server --model "$(model)" --host')
    assert all('"$(model)"' in line and "--port 8080" in line for line in lines.values())


def test_what_comes_with_an_engine_and_breaks_it_is_left_out(tmp_path: Path) -> None:
    broken = f"none @ {(tmp_path / 'none.whl').as_uri()}"
    engine = Engine("tiny", "Tiny", pins=(wheel(tmp_path, "1.0", broken),), unwanted=("none",))
    install(engine, tmp_path, lambda text: None)
    assert installed(engine, tmp_path) == "1.0"
