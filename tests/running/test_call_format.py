"""The call format of a profile is that of its server's parser, or the run does not begin."""

from pathlib import Path

import pytest

from evals.config import Config, cache_folder, read_config
from evals.errors import ConfigError
from evals.formats.registry import NOT_KNOWN
from evals.lanes.tokens import load_tokenizer
from evals.replay.build import cached_replay
from evals.running.call_format import parsed_format
from evals.running.profile import open_profile


def _config(folder: Path, text: str) -> Config:
    (folder / "evals.toml").write_text(text)
    return read_config(folder)


def _format(config: Config, template: str, name: str = "default") -> str:
    return parsed_format(
        name, config, load_tokenizer(cached_replay(cache_folder(), template=template))
    )


@pytest.mark.parametrize(
    ("template", "wanted"),
    [("hermes", "hermes-json"), ("qwen3-coder", "qwen3-coder-xml"), ("mistral", "mistral")],
)
def test_a_profile_that_says_none_has_that_of_the_models_parser(
    tmp_path: Path, template: str, wanted: str
) -> None:
    assert _format(_config(tmp_path, ""), template) == wanted


def test_what_a_profile_says_holds_where_the_parser_reads_it_or_is_not_known(
    tmp_path: Path,
) -> None:
    config = _config(tmp_path, '[profiles.default]\ncall_format = "hermes-json"\n')
    assert _format(config, "hermes") == "hermes-json"
    assert parsed_format("default", config, None) == "hermes-json"
    assert parsed_format("default", _config(tmp_path, ""), None) == "qwen3-coder-xml"


def test_the_profiles_own_parser_counts_more_than_the_template(tmp_path: Path) -> None:
    config = _config(tmp_path, '[profiles.default]\nparser = "json_tools"\n')
    assert _format(config, "qwen3-coder") == "hermes-json"
    config = _config(tmp_path, '[profiles.default]\nparser = "adaptive_xml"\n')
    assert _format(config, "qwen3-coder") == "qwen3-coder-xml"


def test_a_server_that_runs_already_may_have_any_parser(tmp_path: Path) -> None:
    text = '[profiles.default]\ncall_format = "mistral"\n[targets.default]\nurl = "http://h"\n'
    assert _format(_config(tmp_path, text), "hermes") == "mistral"


def test_of_a_server_that_runs_already_nobody_knows_the_format_but_by_its_model(
    tmp_path: Path,
) -> None:
    config = _config(tmp_path, '[targets.default]\nurl = "http://h"\n')
    assert _format(config, "hermes") == "hermes-json"
    assert parsed_format("default", config, None) == NOT_KNOWN


@pytest.mark.parametrize("name", sorted(Config().implied))
def test_every_implied_profile_agrees_with_its_template(name: str) -> None:
    config = Config()
    wanted = config.profile(name).call_format
    assert _format(config, config.target(name).template, name) == wanted


def test_a_contradiction_ends_the_run_before_the_first_question(tmp_path: Path) -> None:
    model = cached_replay(cache_folder(), template="hermes")
    config = _config(
        tmp_path,
        f'[targets.default]\nmodel = "{model}"\narguments = ["--trust-remote-code"]\n'
        '[profiles.default]\ncall_format = "qwen3-coder-xml"\n',
    )
    wrong = (
        "profiles.default.call_format is qwen3-coder-xml, but the model's template implies the "
        "parser json_tools, which reads hermes-json; leave call_format out"
    )
    opening = open_profile("default", config, ["server"], tmp_path, cache_folder(), lambda _: None)
    with pytest.raises(ConfigError, match=wrong), opening:
        pass
