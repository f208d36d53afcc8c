"""The recorded outputs of `canitoolcall` through the stock server: what it gets wrong is known.

Every family that mlx_lm has a parser for goes through the server's code in process. Those of the
vocabulary that the replay model has also go over HTTP, as the very token ids that were recorded.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from canitoolcall.checks import case_status, run_checks
from canitoolcall.fixtures import Fixture, load_family, load_fixtures
from canitoolcall.results import Observation as Observed
from canitoolcall.results import ParsedToolCall, ParseResult, Status
from in_process import Setting, essence, respond

from evals.case import ReplayScript
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.engines.server import Server, exchange
from evals.lanes.server import read_response
from evals.lanes.stream import accumulate, read_events
from evals.observation import Observation
from evals.replay.build import ARGUMENTS, cached_replay
from evals.request import MODEL, embed

LICENCES = ("Apache-2.0", "MIT")
"""Others are left out: some forbid uses, some are unknown."""
SETTINGS = {
    "qwen3-xml": Setting("qwen3_coder"),
    "qwen3-hermes": Setting("json_tools"),
    "glm": Setting("glm47"),
    "kimi": Setting("kimi_k2"),
    "mistral": Setting("mistral", think=None),
    "gemma4": Setting("gemma4", think=("<|channel>thought", "<channel|>")),
}
KIMI_K3 = Setting(
    "kimi_k3",
    think=("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    structural=(
        "<|open|>response<|sep|>",
        "<|close|>response<|sep|>",
        "<|close|>message<|sep|>",
    ),
)
FIXTURES = [
    fixture
    for family in SETTINGS
    for fixture in load_fixtures(families=[family])
    if fixture.provenance.license in LICENCES
]
TEMPLATES = {"qwen3-xml": "qwen3-coder", "qwen3-hermes": "hermes"}


def has_vocabulary(fixture: Fixture) -> bool:
    tokenizer = fixture.tokenizer
    return fixture.family in TEMPLATES and tokenizer.repo.startswith("Qwen/Qwen3-")


OVER_HTTP = [fixture for fixture in FIXTURES if has_vocabulary(fixture)]


@dataclass(frozen=True)
class Defect:
    reason: str
    fixtures: tuple[str, ...]
    link: str | None = None
    """Where it is discussed; else the fixture's own source is named."""


MLX_LM = "https://github.com/ml-explore/mlx-lm"
DEFECTS = [
    Defect(
        "a call without <tool_call> is content",
        (
            "qwen3-xml/llamacpp-coder-bare-function",
            "qwen3-xml/llamacpp-coder-bare-function-parallel",
        ),
        f"{MLX_LM}/pull/1616",
    ),
    Defect("anyOf is not read", ("qwen3-xml/vllm-coder-anyof-coercion",), f"{MLX_LM}/issues/1907"),
    Defect(
        "a value goes on over the next parameter where </parameter> is missing",
        ("qwen3-xml/vllm-coder-missing-close-parameter",),
    ),
    Defect(
        "the first closing mark ends a call or a value, also inside a value",
        (
            "qwen3-xml/q38-marker-in-arguments",
            "qwen3-xml/q38-tool-call-token-in-arguments",
            "qwen3-xml/coder-marker-in-arguments",
            "qwen3-hermes/marker-in-arguments",
            "glm/glm45-marker-in-arguments",
            "glm/glm47-marker-in-arguments",
            "gemma4/marker-in-arguments",
        ),
        "https://github.com/jundot/omlx/issues/2507",
    ),
    Defect(
        "white space around a value is cut off",
        ("glm/glm47-significant-whitespace", "glm/glm47-vllm-whitespace-preserved-in-value"),
        "https://github.com/sgl-project/sglang/issues/20542",
    ),
    Defect(
        "a call that a limit cut is returned as if it were whole",
        (
            "glm/glm47-truncated-inside-arg-value",
            "glm/glm47-truncated-before-close-call",
            "glm/glm45-truncated-after-arg-key",
        ),
    ),
    Defect(
        "[THINK] is no mark of a thought, which becomes content, and calls in it are made",
        (
            "mistral/vllm-v13-think-no-end",
            "mistral/llamacpp-ministral3-reasoning-call",
            "mistral/llamacpp-ministral3-marker-in-reasoning",
            "mistral/v13think-single-call",
            "mistral/v13think-content-before-call",
            "mistral/v13think-parallel-calls",
            "mistral/v13think-no-call",
            "mistral/v13think-empty-arguments",
            "mistral/v13think-marker-in-arguments",
            "mistral/v13think-multiline-reasoning",
            "mistral/v13think-truncated-in-reasoning",
            "mistral/v13think-stop-at-open-marker",
        ),
    ),
    Defect(
        "<think> is no mark of a thought without a token of its own",
        ("mistral/vllm-v11-think-text",),
    ),
    Defect(
        "the id behind [CALL_ID] is taken for the name",
        ("mistral/llamacpp-v11-call-id", "mistral/llamacpp-v11-call-id-parallel"),
    ),
    Defect(
        "a key with a space loses the call",
        ("gemma4/edge-values-key-with-space",),
        "https://github.com/ollama/ollama/issues/18390",
    ),
    Defect(
        "a name with a dot loses the call",
        ("gemma4/vllm-dotted-function-name",),
        "https://github.com/Blaizzy/mlx-vlm/pull/1377",
    ),
]
KNOWN = {name: defect for defect in DEFECTS for name in defect.fixtures}


def marked(fixtures: list[Fixture]) -> list[Any]:
    """Parameters; those with a known defect fail, and if they do not, that is a failure."""
    params = []
    for fixture in fixtures:
        marks = []
        if defect := KNOWN.get(fixture.id):
            reason = f"{defect.reason}: {defect.link or fixture.provenance.source_url}"
            marks = [pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)]
        params.append(pytest.param(fixture, marks=marks, id=fixture.id))
    return params


def setting_of(fixture: Fixture) -> Setting:
    return KIMI_K3 if fixture.tokenizer.repo.endswith("/Kimi-K3") else SETTINGS[fixture.family]


def starts_in_thought(fixture: Fixture) -> bool:
    """Whether the prompt ended in a thought; where it is not recorded, the text tells."""
    opening, closing = setting_of(fixture).think or ("[THINK]", "[/THINK]")
    if (prompt := fixture.generation_prompt) is not None:
        return prompt.rfind(opening) > prompt.rfind(closing)
    thought = fixture.expected is not None and fixture.expected.reasoning_content
    before, closed, _ = fixture.raw_output.partition(closing)
    return opening not in before and bool(closed or thought)


def in_process(fixture: Fixture, *, stream: bool) -> Observation:
    text = fixture.raw_output
    return respond(
        [text[i : i + 3] for i in range(0, len(text), 3)],
        fixture.tools,
        setting_of(fixture),
        stream=stream,
        thinking=starts_in_thought(fixture) and setting_of(fixture).think is not None,
        cut=bool(fixture.truncated),
    )


def over_http(server: Server, fixture: Fixture, *, stream: bool) -> Observation:
    ids = fixture.output_token_ids
    script = embed(ReplayScript(ids=ids))
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"Say it. {script}"}],
        "tools": list(fixture.tools),
        "max_tokens": len(ids) if fixture.truncated else len(ids) + 8,
        "temperature": 0.0,
        "stream": stream,
        "chat_template_kwargs": {"generation_prompt": fixture.generation_prompt},
    }
    _, answer = exchange(server.url, "/chat/completions", 60.0, json.dumps(body).encode())
    return accumulate(read_events([(0.0, answer)])) if stream else read_response(answer, 0.0)


def status(fixture: Fixture, ask: Callable[[bool], Observation]) -> Status:
    plain, streamed = (
        ParseResult(
            content=seen.content,
            reasoning_content=seen.reasoning,
            tool_calls=tuple(ParsedToolCall(call.name, call.arguments) for call in seen.calls),
            exception=seen.error,
        )
        for seen in (ask(False), ask(True))
    )
    observed = Observed(nonstream=plain, streams={"token": streamed})
    return case_status(run_checks(fixture, load_family(fixture.family), observed))


GOOD = (Status.PASS, Status.SOFT_PASS)


@pytest.mark.parametrize("fixture", marked(FIXTURES))
def test_the_servers_code_reads_a_recorded_output(fixture: Fixture) -> None:
    assert status(fixture, lambda stream: in_process(fixture, stream=stream)) in GOOD


Answers = dict[str, dict[bool, Observation]]


@pytest.fixture(scope="module")
def answers(replay_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """All that go over HTTP, plain and streamed, eight at a time."""
    log = tmp_path_factory.mktemp("hermes") / "server.log"
    hermes = cached_replay(cache_folder(), template=TEMPLATES["qwen3-hermes"])
    with boot(hermes, log=log, cache=cache_folder(), arguments=ARGUMENTS) as hermes_server:
        servers = {"qwen3-xml": replay_server, "qwen3-hermes": hermes_server}

        def ask(fixture: Fixture) -> dict[bool, Observation]:
            server = servers[fixture.family]
            return {s: over_http(server, fixture, stream=s) for s in (False, True)}

        with ThreadPoolExecutor(8) as pool:
            found = pool.map(ask, OVER_HTTP)
            yield dict(zip([fixture.id for fixture in OVER_HTTP], found, strict=True))


@pytest.mark.parametrize("fixture", marked(OVER_HTTP))
def test_the_real_server_reads_a_recorded_output(fixture: Fixture, answers: Answers) -> None:
    assert status(fixture, answers[fixture.id].__getitem__) in GOOD


@pytest.mark.parametrize("fixture", OVER_HTTP, ids=lambda fixture: fixture.id)
def test_in_process_is_as_over_http(fixture: Fixture, answers: Answers) -> None:
    for stream, seen in answers[fixture.id].items():
        here = in_process(fixture, stream=stream)
        assert essence(here) == essence(seen)


def test_known_defects_and_fixtures_are_as_counted() -> None:
    assert set(KNOWN) <= {fixture.id for fixture in FIXTURES}
    assert Counter(fixture.family for fixture in FIXTURES) == {
        "qwen3-xml": 50,
        "qwen3-hermes": 48,
        "glm": 45,
        "kimi": 11,
        "mistral": 46,
        "gemma4": 47,
    }
    assert len(OVER_HTTP) >= 60
