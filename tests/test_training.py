"""The training data: reproducible, balanced, honest about the cases, rendered as served."""

import json
from collections import Counter
from pathlib import Path

import jsonschema
import mlx.core as mx
import mlx.nn as nn
import pytest

from evals.casefile import find_case_files, read_cases
from evals.config import cache_folder
from evals.lanes.tokens import load_tokenizer, render
from evals.training import cpu
from evals.training.build import ADAPTERS, cached_base
from evals.training.dataset import digest, generate, read_catalogue, split
from evals.training.preflight import preflight
from evals.training.recipe import DATA_SEED, EXCHANGES
from evals.training.train import encode

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "cases" / "tools"


@pytest.fixture(scope="module")
def catalogue():
    return split(read_catalogue(TOOLS))


@pytest.fixture(scope="module")
def rows(catalogue):
    return generate(catalogue[0], exchanges=EXCHANGES, seed=DATA_SEED)


def _answers(rows):
    return [m for row in rows for m in row["messages"] if m["role"] == "assistant"]


def test_the_same_seed_makes_the_same_rows(catalogue, rows):
    assert digest(generate(catalogue[0], exchanges=200, seed=3)) == digest(
        generate(catalogue[0], exchanges=200, seed=3)
    )
    assert digest(generate(catalogue[0], exchanges=200, seed=4)) != digest(rows)


def test_the_shipped_adapter_was_trained_on_these_rows(rows):
    recorded = json.loads((ADAPTERS / "default" / "adapter_config.json").read_text())
    assert recorded["dataset"]["sha256"] == digest(rows)


def test_calls_are_seventy_percent_and_zero_parameter_calls_well_among_them(rows):
    answers = _answers(rows)
    calls = [m for m in answers if m.get("tool_calls")]
    assert 0.60 <= len(calls) / len(answers) <= 0.75
    empty = [m for m in calls if m["tool_calls"][0]["function"]["arguments"] == "{}"]
    assert len(empty) / len(calls) >= 0.15
    tools = {t["function"]["name"] for row in rows for t in row.get("tools", ())}
    assert len(tools) >= 20


def test_every_call_satisfies_the_schema_of_a_tool_on_offer(rows):
    for row in rows[:600]:
        offered = {t["function"]["name"]: t["function"] for t in row.get("tools", ())}
        for message in row["messages"]:
            for call in message.get("tool_calls", ()):
                function = call["function"]
                jsonschema.validate(
                    json.loads(function["arguments"]), offered[function["name"]]["parameters"]
                )


def test_tools_stand_in_every_order(catalogue):
    rows = generate(catalogue[0], exchanges=400, seed=11)
    places = Counter(
        [t["function"]["name"] for t in row["tools"]].index(call["function"]["name"])
        for row in rows
        if len(row.get("tools", ())) == 3
        for message in row["messages"][2:3]
        for call in message.get("tool_calls", ())[:1]
    )
    assert min(places[i] for i in range(3)) > 0.15 * places.total()


def _runs(text, length=8):
    words = text.lower().split()
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def test_no_case_prompt_is_in_the_training_data(rows):
    asked = {m["content"] for row in rows for m in row["messages"] if m["role"] == "user"}
    normal = {" ".join(text.lower().split()).strip(" .?!") for text in asked}
    runs = set().union(*(_runs(text) for text in asked))
    for case in read_cases(find_case_files([ROOT / "cases"]), ROOT):
        question = case.question
        assert " ".join(question.lower().split()).strip(" .?!") not in normal, case.node
        assert not _runs(question) & runs, case.node


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(cached_base(cache_folder()))


def test_what_is_learned_is_the_assistants_turns_and_their_end(rows, tokenizer):
    row = next(r for r in rows if len(r["messages"]) == 3 and r["messages"][2].get("tool_calls"))
    encoded = encode(row, tokenizer)
    learned = tokenizer.decode([encoded.ids[i + 1] for i in encoded.positions])
    assert learned.startswith("<tool_call>\n<function=")
    assert learned.endswith("</function>\n</tool_call><|im_end|>")
    assert encoded.positions == list(range(encoded.positions[0], encoded.positions[-1] + 1))


def test_the_training_prompt_is_token_for_token_the_servers(rows, tokenizer):
    for row in rows[:50]:
        encoded = encode(row, tokenizer)
        body = {"messages": row["messages"][:2], "tools": row.get("tools")}
        prompt = render(tokenizer, {k: v for k, v in body.items() if v})
        assert encoded.ids[: len(prompt)] == prompt
        assert encoded.positions[0] == len(prompt) - 1


def test_the_call_tags_of_the_base_model_can_win(tokenizer):
    assert list(preflight(cached_base(cache_folder()), tokenizer)) == []
    assert tokenizer.encode("<tool_call>", add_special_tokens=False) == [3]


def _worst(one, other):
    return (mx.abs(one - other) / (1e-6 + mx.abs(other))).max().item()


def test_exp_of_sums_and_products_is_exp():
    x = mx.linspace(-87, 88, 200_001)
    assert _worst(cpu.exp(x), mx.exp(x)) < 2e-6
    assert cpu.exp(mx.array([-1e9, 0.0, 1e9])).tolist() == pytest.approx(
        [0.0, 1.0, 1.6516e38], rel=1e-3
    )


@pytest.mark.parametrize("of", ["value", "gradient"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda a, b: cpu.swiglu(a, b), lambda a, b: nn.silu(a) * b),
        (
            lambda a, b: cpu.cross_entropy(a.reshape(6, -1), mx.arange(6)),
            lambda a, b: nn.losses.cross_entropy(a.reshape(6, -1), mx.arange(6)),
        ),
        (
            lambda a, b: cpu.attention(a, a[:, ::3], b[:, ::3], scale=0.2),
            lambda a, b: mx.fast.scaled_dot_product_attention(
                a, a[:, ::3], b[:, ::3], scale=0.2, mask="causal"
            ),
        ),
    ],
    ids=["swiglu", "cross_entropy", "attention"],
)
def test_training_on_a_cpu_computes_what_mlx_computes(ours, theirs, of):
    a = mx.random.normal((2, 9, 5, 16), key=mx.random.key(1))
    b = mx.random.normal((2, 9, 5, 16), key=mx.random.key(2))
    w = mx.random.normal((2, 9, 5, 16), key=mx.random.key(3)).reshape(-1)

    def value(function):
        if of == "value":
            return function(a, b)
        weighted = lambda a, b: (function(a, b).reshape(-1) * w[: function(a, b).size]).sum()  # noqa: E731
        return mx.concatenate(mx.grad(weighted, argnums=(0, 1))(a, b))

    assert mx.allclose(value(ours), value(theirs), rtol=1e-4, atol=1e-5)
