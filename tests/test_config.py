"""The configuration: names are closed sets, a slip is told; replay profiles are implied."""

import subprocess
import sys
from pathlib import Path

import pytest

from evals.config import EVERY_CASE, Config, Gate, Profile, Target, read_config
from evals.errors import ConfigError
from evals.parsers.names import parser_names
from evals.replay.build import templates
from evals.running.options import implied_by_all, profile_names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'lanes = ["server", "straem"]',
            "lanes.1: unknown lane 'straem', did you mean 'stream'? "
            "(choose from server, stream, direct, agent)",
        ),
        (
            '[targets.t]\nmodel = "replay"\ntemplate = "hermse"',
            "targets.t.template: unknown template 'hermse', did you mean 'hermes'? (choose from ",
        ),
        (
            '[profiles.p]\nparser = "adaptive-xml"',
            "profiles.p.parser: unknown parser 'adaptive-xml', did you mean 'adaptive_xml'? ",
        ),
        (
            '[profiles.p]\nparser = "qwen3-coder"',
            "profiles.p.parser: unknown parser 'qwen3-coder', did you mean 'qwen3_coder'? ",
        ),
        (
            '[targets.mine]\n[profiles.p]\ntarget = "mien"',
            "profiles.p.target: unknown target 'mien', did you mean 'mine'? (choose from mine",
        ),
        ("in_flight = 999", "in_flight: it must be at most 256, not 999"),
        ("lane = ['server']", "lane: unknown key; did you mean lanes? allowed here: lanes, "),
        (
            "[targets.t]\nurls = 'x'",
            "targets.t.urls: unknown key; did you mean url? allowed here: ",
        ),
        ("[gates.default]\ncase = 95", "gates.default.case: it must be at most 1.0, not 95"),
        ("cases = 'cases'", "cases: it must be a list, such as [a, b], not 'cases'"),
        ("cases = []", "cases: it must not be empty"),
        ("lanes = []", "lanes: it must not be empty"),
        ("lanes = ['server', 'server']", "lanes: each only once, not ['server', 'server']"),
        ("timeout = '60s'", "timeout: it must be a number, not '60s'"),
        ("[tool.evals]\nlanes = ['server']", "tables have no `tool.evals` before their names here"),
        (
            "[targets.t]\nurl = 'http://127.0.0.1:8080/v1/chat/completions'",
            "targets.t.url: leave out '/chat/completions', which each request adds; it looks like ",
        ),
    ],
)
def test_a_name_that_is_none_is_told_when_the_file_is_read(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "evals.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_config(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'evals.toml'}: {said}")


def test_a_file_of_another_editor_is_read(tmp_path: Path) -> None:
    (tmp_path / "evals.toml").write_bytes(b'\xef\xbb\xbflanes = ["stream"]\n')
    assert read_config(tmp_path).lanes == ["stream"]


def test_two_configurations_in_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.evals]\nlanes = ['stream']\n")
    assert read_config(tmp_path).lanes == ["stream"]
    (tmp_path / "evals.toml").write_text("in_flight = 2\n")
    with pytest.raises(ConfigError, match="keep one of the two"):
        read_config(tmp_path)


@pytest.mark.parametrize("template", templates())
def test_every_template_is_accepted(tmp_path: Path, template: str) -> None:
    (tmp_path / "evals.toml").write_text(f'[targets.default]\ntemplate = "{template}"')
    assert read_config(tmp_path).targets["default"].template == template


@pytest.mark.parametrize("parser", parser_names())
def test_every_parser_is_accepted(tmp_path: Path, parser: str) -> None:
    (tmp_path / "evals.toml").write_text(f'[profiles.default]\nparser = "{parser}"')
    assert read_config(tmp_path).profiles["default"].parser == parser


def test_reading_a_configuration_loads_no_model_library_and_no_client() -> None:
    heavy = "mlx", "mlx_lm", "openai", "pydantic_ai"
    code = f"import sys, evals.config; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def read(folder, text):
    (folder / "evals.toml").write_text(text)
    return read_config(folder)


def test_a_slip_in_a_call_format_is_refused(tmp_path):
    """It used to make every call that the parser lost a miss of the model."""
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, '[profiles.default]\ncall_format = "qwen3-coder"\n')
    message = str(refused.value)
    assert "profiles.default.call_format" in message
    assert "unknown call format 'qwen3-coder', did you mean 'qwen3-coder-xml'?" in message
    assert "choose from qwen3-coder-xml, hermes-json, json-fence" in message


@pytest.mark.parametrize(
    ("name", "template", "call_format"),
    [
        ("replay", "qwen3-coder", "qwen3-coder-xml"),
        ("replay-hermes", "hermes", "hermes-json"),
        ("replay-mistral", "mistral", "mistral"),
        ("replay-pythonic", "pythonic", "pythonic"),
        ("replay-glm", "glm", "glm"),
        ("replay-kimi", "kimi", "kimi"),
        ("replay-gemma", "gemma", "gemma"),
        ("replay-llama", "llama", "json-fence"),
    ],
)
def test_replay_profiles_are_implied(tmp_path, name, template, call_format):
    config = read(tmp_path, "[gates.default]\ncase = 0.5\n")
    assert config.profile(name) == Profile(target=name, call_format=call_format)
    assert config.target(name) == Target(model="replay", template=template)
    assert config.gate(name) == Gate(case=1.0, on="value")
    assert name in config.implied


def test_tables_of_the_file_come_first(tmp_path):
    config = read(
        tmp_path,
        """
        [targets.replay-hermes]
        model = "replay"
        template = "hermes"
        port = 8080
        [profiles.replay-hermes]
        target = "replay-hermes"
        parser = "json_tools"
        call_format = "hermes-json"
        [profiles.mine]
        target = "replay-glm"
        [gates.default]
        case = 0.25
        [gates.replay]
        case = 0.5
        """,
    )
    assert config.target("replay-hermes").port == 8080
    assert config.profile("replay-hermes").parser == "json_tools"
    assert config.gate("replay-hermes").case == 0.25
    assert "replay-hermes" not in config.implied
    assert config.target("mine").template == "glm"
    assert config.gate("replay") == Gate(case=0.5)
    assert "default" not in config.profiles
    assert list(config.profiles)[:2] == ["replay-hermes", "mine"]


def test_without_tables_there_is_a_default_beside_those_implied():
    config = Config()
    assert set(config.profiles) == {"default"} | config.implied
    assert config.gate("default") == EVERY_CASE


def test_all_names_implied_profiles_too_but_does_not_insist_on_them():
    config = Config()
    asked = [name for name in config.profiles if name not in config.by_name_alone]
    assert profile_names({"profiles": "all"}, config) == tuple(asked)
    assert implied_by_all({"profiles": "all"}, config) == config.implied
    assert not implied_by_all({"profiles": "default,replay"}, config)
    assert not implied_by_all({}, config)


@pytest.mark.parametrize("text", ["profiles = 5\n", "targets = []\n", "gates = 'none'\n"])
def test_what_is_no_table_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=text.split()[0]):
        read(tmp_path, text)


def test_a_profile_is_asked_on_another_engine(tmp_path: Path) -> None:
    (tmp_path / "evals.toml").write_text(
        '[targets.default]\nmodel = "m"\narguments = ["-x"]\n'
        '[profiles.default]\n[profiles.mine]\nparser = "adaptive_xml"\n'
        "[gates.default]\ncase = 0.5\n"
    )
    config = read_config(tmp_path)
    assert config.profile("default@vllm").asks == "default"
    target = config.target("default@vllm")
    assert (target.engine, target.model) == ("vllm", "m")
    assert target.arguments == ["-x", "--tool-call-parser", "qwen3_coder"]
    small = ["--gpu-memory-utilization", "0.3", "--enforce-eager"]
    hermes = config.target("replay-hermes@vllm").arguments
    assert hermes == ["--tool-call-parser", "hermes", *small]
    assert Config().target("default@vllm").arguments[-3:] == small
    assert config.gate("default@vllm") == config.gate("default")
    assert config.target("default").engine is None
    with pytest.raises(ConfigError, match="unknown engine 'vlm', did you mean 'vllm'"):
        config.profile("default@vlm")
    with pytest.raises(ConfigError, match="unknown profile 'other'"):
        config.profile("other@vllm")
    with pytest.raises(ConfigError, match=r"parser or grammar of mine is put into mlx_lm\.server"):
        config.profile("mine@vllm")


def test_a_pattern_names_all_profiles_that_it_fits() -> None:
    named = profile_names({"profiles": "replay*-vllm,replay"}, Config())
    assert named == ("replay-vllm", "replay-hermes-vllm", "replay")
    with pytest.raises(ConfigError, match=r"unknown profile 'x\*'"):
        profile_names({"profiles": "x*"}, Config())
