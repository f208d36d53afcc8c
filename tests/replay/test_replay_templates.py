"""Templates that keep the tools from the model, or reject the request: through the stock server."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import builders
import pytest

from evals.case import Case, ReplayScript
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.lanes import server, stream
from evals.lanes.prompt import look_at
from evals.lanes.tokens import decoder, load_tokenizer, render
from evals.observation import Usage
from evals.replay.build import ARGUMENTS, TEMPLATES, cached_replay, templates
from evals.request import build_request
from evals.results import Kind, Layer, Prompt, Record, Status

TOOLS = [{"name": "todoread"}, {"name": "todowrite"}, {"name": "look"}]
CALL = "<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
LATE = [
    {"role": "user", "content": "Hello."},
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Check my tasks."},
]
REJECTS_LATE = (
    "{%- for message in messages if message.role == 'system' and messages[0].role != 'system' %}"
    "{{- raise_exception('System message must be at the beginning.') }}{%- endfor %}"
)


def case_of(text: str, **more: Any) -> Case:
    expect = {"call": {"name": "todoread"}}
    return builders.case(expect, tools=TOOLS, replay=ReplayScript(text=text), **more)


def without_tools(template: str) -> str:
    return "{%- set tools = none %}" + template


def without_the_last_tool(template: str) -> str:
    return "{%- set tools = tools[:-1] if tools else none %}" + template


def rejecting(template: str) -> str:
    return REJECTS_LATE + template


@contextmanager
def served(folder: Path, change: Callable[[str], str]) -> Iterator[Callable[[Case], list[Record]]]:
    """The stock server with the replay model and a changed template; asks and judges."""
    model = folder / "model"
    shutil.copytree(cached_replay(cache_folder()), model)
    template = model / "chat_template.jinja"
    template.write_text(change(template.read_text()))
    tokenizer = load_tokenizer(model)

    def judged(case: Case) -> list[Record]:
        request = build_request(case)
        prompt = look_at(tokenizer, request)
        known = {
            "prompt": prompt,
            "rendered_prompt_tokens": None if prompt.error else len(render(tokenizer, request)),
        }
        plain = server.ask(booted, case, timeout=60, decode=decoder(tokenizer))
        streamed = stream.ask(booted, case, timeout=60)
        answers = [builders.record(case, plain, **known)]
        return [*answers, builders.record(case, streamed, plain, **known)]

    log = folder / "server.log"
    with boot(model, log=log, cache=cache_folder(), arguments=ARGUMENTS) as booted:
        yield judged


def failed(record: Record) -> set[tuple[Any, Any]]:
    return {(verdict.kind, verdict.layer) for verdict in record.failed}


@pytest.mark.parametrize(
    ("change", "names"),
    [(without_tools, ("todoread", "todowrite", "look")), (without_the_last_tool, ("look",))],
)
def test_tools_that_do_not_reach_the_prompt_are_the_templates(
    change: Callable[[str], str], names: tuple[str, ...], tmp_path: Path
) -> None:
    with served(tmp_path, change) as ask:
        for record in ask(case_of("I have no tools.")):
            assert failed(record) == {(Kind.TOOLS_NOT_IN_PROMPT, Layer.TEMPLATE)}
            assert record.prompt.unseen_tools == names
            assert record.outcome == "violation"
            assert record.scores is not None
            assert record.scores.case is None
            assert Record.from_json(record.to_json()) == record


def test_a_template_that_rejects_the_request_here_too(tmp_path: Path) -> None:
    with served(tmp_path, rejecting) as ask:
        for record in ask(case_of(CALL, messages=LATE)):
            assert failed(record) == {(Kind.TEMPLATE_ERROR, Layer.TEMPLATE)}
            assert record.status == Status.ERROR
            assert "System message must be at the beginning" in record.why
        for record in ask(case_of(CALL)):  # the request is fine
            assert record.status == Status.PASS


def test_a_server_whose_own_template_leaves_out_the_tools() -> None:
    """Its prompt has as many tokens as one without the tools, rendered here."""
    case = builders.case({"call": {"name": "todoread"}}, tools=TOOLS)
    seen = builders.observation(content="I have none.", usage=Usage(40, 5))
    known = {"rendered_prompt_tokens": 90, "prompt": Prompt(without_tools=40)}
    found = builders.judge(case, seen, **known)
    assert {(v.kind, v.layer) for v in found.failed} == {(Kind.TOOLS_NOT_IN_PROMPT, Layer.TEMPLATE)}
    known = {"rendered_prompt_tokens": 90, "prompt": Prompt(without_tools=41)}
    found = builders.judge(case, seen, **known)
    assert (Kind.PROMPT_DRIFT, Layer.TEMPLATE) in {(v.kind, v.layer) for v in found.failed}


@pytest.mark.parametrize("arguments", ["", " ", "[]", '{"a": 1', '{"a": 1}{"b": 2}'])
def test_arguments_that_no_template_takes_are_not_its_fault(arguments: str) -> None:
    call = {"function": {"name": "todoread", "arguments": arguments}}
    history = [LATE[0], {"role": "assistant", "tool_calls": [call]}, LATE[2]]
    tokenizer = load_tokenizer(cached_replay(cache_folder()))
    assert look_at(tokenizer, build_request(case_of(CALL, messages=history))).error is None


def test_every_template_of_the_replay_model_shows_all_tools() -> None:
    tokenizer = load_tokenizer(cached_replay(cache_folder()))
    request = build_request(case_of(CALL))
    for template in templates():
        tokenizer.chat_template = (TEMPLATES / f"{template}.jinja").read_text()
        prompt = look_at(tokenizer, request)
        assert (prompt.unseen_tools, prompt.error, prompt.opens_thought) == ((), None, False)
        assert prompt.without_tools is not None
        assert prompt.without_tools < len(render(tokenizer, request))
