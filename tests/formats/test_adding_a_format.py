"""One call format more, told in one value: everything that asks about formats knows it."""

import json

import pytest
from typer import BadParameter

from evals.case import Tool
from evals.commands.terminal import OneOf
from evals.config import read_config
from evals.errors import ConfigError
from evals.formats import registry
from evals.formats.call_format import Broken, CallFormat, Opening, Section
from evals.formats.json_object import call_problem, call_text, json_at
from evals.formats.model_text import read_model_text
from evals.formats.reading import json_call
from evals.formats.registry import FORMATS, find_format, syntax
from evals.observation import Call
from evals.reference.pages import pages
from evals.replay.build import TEMPLATES, templates
from evals.training.turns import turn_text, written_formats

TOOLS = [Tool(name="f", parameters={"type": "object", "properties": {"n": {"type": "integer"}}})]
OPEN, CLOSE = "<|call|>", "<|/call|>"
SOUND = f'{OPEN}{{"name": "f", "arguments": {{"n": 5}}}}{CLOSE}'
WRAPPED = '<tool_call>!{"name": "f", "arguments": {"n": 5}}</tool_call>'


def _read_from(body, inside, closer, tools):
    value, end = json_at(body, inside, closer)
    if problem := call_problem(value):
        raise Broken(problem, end)
    if not body.startswith(closer, end):
        raise Broken.within(body, inside, f"the call is not followed by {closer}", closer)
    call = json_call(value["name"], value["arguments"], BARS.name, tools)
    return Section([call], end + len(closer))


def _read(body, start, tools):
    return _read_from(body, start + len(OPEN), CLOSE, tools)


def _read_wrapped(body, start, tools):
    inside = start + len("<tool_call>")
    if not body.startswith("!", inside):
        return None
    return _read_from(body, inside + 1, "</tool_call>", tools)


BARS = CallFormat(
    "bars",
    doc="`<|call|>{…}<|/call|>`",
    openings=(
        Opening(OPEN, _read),
        Opening("<tool_call>", _read_wrapped, close="</tool_call>", begins="! and a JSON object"),
    ),
    markup=(OPEN, CLOSE),
    closers=(CLOSE,),
    write=lambda call: f"{OPEN}{call_text(call)}{CLOSE}",
    template="bars",
    parsers=("bars_json",),
)


@pytest.fixture
def with_bars(monkeypatch):
    monkeypatch.setattr(registry, "FORMATS", (*FORMATS, BARS))


def test_without_it_the_text_is_in_no_form_that_a_server_parses():
    assert read_model_text(SOUND, TOOLS).format == "bare-json"
    assert read_model_text(WRAPPED, TOOLS).malformed


@pytest.mark.usefixtures("with_bars")
@pytest.mark.parametrize("raw", [SOUND, WRAPPED])
def test_the_reader_reads_a_new_format(raw):
    reading = read_model_text(f"Well. {raw} So.", TOOLS)
    assert [(c.name, json.loads(c.arguments)) for c in reading.calls] == [("f", {"n": 5})]
    assert (reading.format, reading.text, reading.malformed) == ("bars", "Well.  So.", ())


@pytest.mark.usefixtures("with_bars")
def test_the_reader_names_what_is_wrong_with_a_new_format():
    (malformed,) = read_model_text(f"{OPEN}{{{CLOSE}", TOOLS).malformed
    assert malformed.reason.startswith("not JSON")
    (malformed,) = read_model_text(f"so {CLOSE}", TOOLS).malformed
    assert malformed.reason == f"{CLOSE} without its opening tag"
    (malformed,) = read_model_text("<tool_call>?</tool_call>", TOOLS).malformed
    assert malformed.reason.endswith("or a JSON object or ! and a JSON object")
    assert read_model_text(f"<think>{SOUND}</think>ok", TOOLS).ambiguous


@pytest.mark.usefixtures("with_bars")
def test_other_formats_are_read_as_before_beside_a_new_one():
    reading = read_model_text("<tool_call><function=f></function></tool_call>", TOOLS)
    assert reading.format == "qwen3-coder-xml"


@pytest.mark.usefixtures("with_bars")
def test_tags_of_a_new_format_are_markup():
    assert {OPEN, CLOSE} <= set(syntax().markup)


@pytest.mark.usefixtures("with_bars")
def test_the_configuration_knows_a_new_format_and_its_replay_profile(tmp_path):
    (tmp_path / "evals.toml").write_text('[profiles.default]\ncall_format = "bars"\n')
    config = read_config(tmp_path)
    assert config.profile("default").call_format == "bars"
    assert config.profile("replay-bars").call_format == "bars"
    assert config.target("replay-bars").template == "bars"
    assert config.gate("replay-bars").case == 1.0


@pytest.mark.usefixtures("with_bars")
def test_training_data_can_be_written_in_a_new_format():
    assert written_formats()[-2:] == ["bars", "openai"]
    assert OneOf("call format", written_formats)("bars") == "bars"
    assert turn_text("", [Call("f", '{"n": 5}')], "bars") == SOUND


@pytest.mark.usefixtures("with_bars")
def test_the_reference_shows_a_new_format():
    assert r"| `bars` | `<\|call\|>{…}<\|/call\|>` | `bars_json` |" in pages()["configuration.md"]


def test_an_unknown_format_is_refused_with_the_likeliest():
    with pytest.raises(ConfigError, match="unknown call format 'herms-json', did you mean 'hermes"):
        find_format("herms-json")
    with pytest.raises(
        BadParameter, match="choose from qwen3-coder-xml, hermes-json, json-fence, o"
    ):
        OneOf("call format", written_formats)("xml")


def test_every_replay_template_is_that_of_one_format():
    assert sorted(f.template for f in FORMATS if f.template) == templates()
    for format_ in FORMATS:
        if format_.template:
            text = (TEMPLATES / f"{format_.template}.jinja").read_text()
            # What the server infers its parser from; the stock server has none for bare JSON.
            assert all(parser in text.split("-#}")[0] for parser in format_.parsers[:1])


def test_names_are_given_once():
    names = [format_.name for format_ in FORMATS]
    assert len(set(names)) == len(names)
