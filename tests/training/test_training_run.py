"""The training data: reproducible, balanced, honest about the cases, rendered as served."""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import jsonschema
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from evals.config import cache_folder
from evals.engines.blas import preload_environment
from evals.lanes.tokens import load_tokenizer
from evals.models.build import ADAPTERS, cached_base
from evals.models.preflight import preflight
from evals.training import cpu
from evals.training.catalogue import read_catalogue, split
from evals.training.dataset import digest, generate
from evals.training.encode import Encoded, arrays, encode
from evals.training.parts import read_parts
from evals.training.recipe import RECIPES, dataset
from evals.training.rows import APART_KEY
from evals.training.select import CURVE, Point, best, read_curve
from evals.training.train import logits
from evals.training.unseen import KIND_KEY, KINDS, compose

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "cases" / "tools"
SHIPPED = [name for name in RECIPES if (ADAPTERS / name).exists()]


@pytest.fixture(scope="module")
def catalogue():
    return split(read_catalogue(TOOLS))


@pytest.fixture(scope="module")
def rows(catalogue):
    return dataset(TOOLS)[0]


def _answers(rows):
    return [m for row in rows for m in row["messages"] if m["role"] == "assistant"]


def test_the_same_seed_makes_the_same_rows(catalogue, rows):
    assert digest(generate(catalogue[0], exchanges=200, seed=3)) == digest(
        generate(catalogue[0], exchanges=200, seed=3)
    )
    assert digest(generate(catalogue[0], exchanges=200, seed=4)) != digest(rows)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_adapters_were_trained_on_these_rows(name):
    recorded = json.loads((ADAPTERS / name / "adapter_config.json").read_text())
    assert recorded["dataset"]["sha256"] == _digest(RECIPES[name].data)


@cache
def _digest(data):
    return digest(dataset(TOOLS, data)[0])


def test_the_recipes_differ_in_nothing_but_the_format():
    for name, fences in (("catalogue", "catalogue-json-fence"), ("reading", "reading-json-fence")):
        xml, fence = RECIPES[name], RECIPES[fences]
        assert fence.settings.call_format == "json-fence"
        assert replace(fence.settings, call_format="qwen3-coder-xml") == xml.settings
        assert fence.data == xml.data
        assert (xml.start, fence.start) in [("", ""), ("catalogue", "catalogue-json-fence")]
        assert xml.keep == fence.keep


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_adapters_are_as_their_recipes_say(name):
    recipe = RECIPES[name]
    begun = {"start": recipe.start, "keep": recipe.keep} if recipe.start else {}
    config = json.loads((ADAPTERS / name / "adapter_config.json").read_text())
    assert (asdict(recipe.settings) | begun).items() <= config.items()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_checkpoint_is_the_best_of_its_curve(name):
    config = json.loads((ADAPTERS / name / "adapter_config.json").read_text())
    assert config["checkpoint"] == best(read_curve(ADAPTERS / name / CURVE))


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


def _answers_in_words(rows, asked):
    """The available tools and the reply, wherever one of `asked` is the question."""
    for row in rows:
        offered = {tool["function"].get("description") for tool in row.get("tools", ())}
        for question, reply in pairwise(row["messages"]):
            if question["role"] == "user" and question["content"] in asked:
                yield offered, reply


def test_a_near_miss_stands_beside_a_tool_of_its_domain_and_is_answered_in_words(catalogue, rows):
    described = {
        domain: {
            t.schema["function"]["description"] for t in catalogue[0].tools if t.domain == domain
        }
        for domain in catalogue[0].near_misses
    }
    for domain, pairs in catalogue[0].near_misses.items():
        found = list(_answers_in_words(rows, {ask for ask, _ in pairs}))
        assert len(found) >= 10, domain
        beside = [offered for offered, _ in found if offered & described[domain]]
        assert len(beside) > 0.8 * len(found), domain  # a tool may stand without a description
        assert not any("tool_calls" in reply for _, reply in found)


def test_no_request_is_declined_beside_a_tool_that_does_anything(catalogue, rows):
    declined = set(catalogue[0].no_fit)
    found = 0
    for row in rows:
        names = {tool["function"]["name"] for tool in row.get("tools", ())}
        if any(message.get("content") in declined for message in row["messages"]):
            found += 1
            assert not names & catalogue[0].for_anything
    assert found > 200


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


def test_what_is_learned_of_json_fences_is_the_same_but_for_the_calls(rows, tokenizer):
    row = next(r for r in rows if len(r["messages"]) == 3 and r["messages"][2].get("tool_calls"))
    xml, fence = encode(row, tokenizer), encode(row, tokenizer, "json-fence")
    assert fence.positions[0] == xml.positions[0]
    assert fence.ids[: fence.positions[0] + 1] == xml.ids[: xml.positions[0] + 1]
    learned = tokenizer.decode([fence.ids[i + 1] for i in fence.positions])
    name = row["messages"][2]["tool_calls"][0]["function"]["name"]
    assert learned.startswith('```json\n{"name": "' + name)
    assert learned.endswith("}\n```<|im_end|>")


def _tiny_llama():
    llama = importlib.import_module("mlx_lm.models.llama")
    mx.random.seed(5)
    return llama.Model(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=32,
            num_hidden_layers=2,
            intermediate_size=64,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            vocab_size=97,
            rope_theta=1000.0,
        )
    )


def test_questions_that_stand_apart_are_answered_as_if_each_were_asked_alone():
    model = _tiny_llama()
    draw = np.random.default_rng(3).integers
    shared, parts = draw(0, 97, 150).tolist(), [draw(0, 97, n).tolist() for n in (90, 7, 140)]
    starts = np.cumsum([len(shared), *map(len, parts)])[:-1].tolist()
    whole = Encoded(sum(parts, shared), [at + 3 for at in starts], tuple(starts))
    in_turn = Encoded(whole.ids, whole.positions)
    alone = [Encoded(shared + part, [len(shared) + 3]) for part in parts]

    def answers(batch):
        with cpu.fast_llama():
            tokens, places, _, weights, layout = arrays(batch)
            found = logits(model, tokens, places, layout)
        return np.array(found)[: int(weights.sum())]

    expected = np.concatenate([answers([one]) for one in alone])
    assert np.abs(expected).max() > 0.1
    assert np.allclose(answers([whole]), expected, atol=2e-5)
    assert not np.allclose(answers([in_turn])[1:], expected[1:], atol=1e-3)
    # Beside a conversation in the same batch, which is read in turn.
    both = answers([whole, in_turn])
    assert np.allclose(both[:3], expected, atol=2e-5)
    assert np.allclose(both[3:], answers([in_turn]), atol=2e-5)


def test_a_question_that_stands_apart_begins_with_its_user(catalogue, tokenizer):
    rows = compose(read_parts(held=False), catalogue[0], exchanges=60, seed=3)
    row = next(row for row in rows if "followed" in row[KIND_KEY])
    encoded = encode(row, tokenizer)
    ends = [*encoded.starts[1:], len(encoded.ids)]
    texts = [tokenizer.decode(encoded.ids[a:b]) for a, b in zip(encoded.starts, ends, strict=True)]
    assert [text.split("\n", 1)[0] for text in texts] == ["<|im_start|>user"] * len(row[KIND_KEY])
    asked = [m["content"] for m in row["messages"] if m["role"] == "user"]
    for question, text, kind in zip(asked, texts, row[KIND_KEY], strict=True):
        assert question in text
        assert ("<tool_response>" in text) == (kind == "followed")
    assert encode({**row, APART_KEY: False}, tokenizer).starts == ()


TRAINING = """
import sys
from dataclasses import replace
from pathlib import Path
from evals.training import recipe
from evals.training.recipe import Data, Recipe
from evals.training.train import Settings

cache, adapters, tools = (Path(argument) for argument in sys.argv[1:])
recipe.ADAPTERS = adapters
recipe.VALIDATION_EXCHANGES = 1
recipe.QUESTIONS = 3
settings = Settings(iterations=2, save_every=1, call_format="json-fence")
recipe.RECIPES = {
    "small": Recipe(settings, Data(catalogue=4)),
    "next": Recipe(
        replace(settings, save_every=2), Data(catalogue=1, composed=3), start="small", keep=0.25
    ),
}
curve = cache / "training" / "small" / "curve.jsonl"
recipe.train_adapter("small", tools, cache)
once = curve.read_text()
recipe.ship_best("small", tools, cache)
assert curve.read_text() == once, "a checkpoint was judged twice"
recipe.train_adapter("small", tools, cache, iterations=1)
recipe.train_adapter("next", tools, cache, iterations=1)
"""


def test_a_training_ships_a_checkpoint_with_its_log_and_curve_and_begins_anew(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(cached_base(cache_folder()).parent)
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, cache, tmp_path / "adapters", TOOLS],
        env=preload_environment(cache_folder(), os.environ),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "train: step 2 is shipped" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("train: step 1 is shipped")
    following = json.loads((tmp_path / "adapters" / "next" / "adapter_config.json").read_text())
    assert (following["start"], following["keep"]) == ("small", 0.25)
    mean = mx.load(str(tmp_path / "adapters" / "next" / "adapters.safetensors"))
    made = cache / "training" / "next"
    began, learned = (mx.load(str(made / f"000000{n}_adapters.safetensors")) for n in (0, 1))
    assert any(mx.any(began[name] != learned[name]).item() for name in mean)
    for name, value in mean.items():
        wanted = (
            began[name]
            if following["checkpoint"] == 0
            else (0.25 * began[name] + 0.75 * learned[name])
        )
        assert mx.allclose(value, wanted, rtol=1e-2, atol=1e-4).item()
    assert following["dataset"]["composed"] == 3
    shipped = tmp_path / "adapters" / "small"
    config = json.loads((shipped / "adapter_config.json").read_text())
    assert (config["checkpoint"], config["call_format"]) == (1, "json-fence")
    log = [json.loads(line) for line in (shipped / "train.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in log if "train_loss" in line] == [1]
    points = read_curve(shipped / CURVE)
    assert [(point.step, point.questions) for point in points] == [(1, "seen"), (1, "unseen")]
    for point in points:
        assert 0 < point.n_calls <= point.n
        assert point.whole <= point.tool_name <= point.n_calls
        wrong_calls = point.misses["another_tool"] + point.misses["no_such_tool"]
        assert point.n_calls - point.tool_name == wrong_calls + point.misses["words_for_call"]
        assert sum(right for right, _ in point.decisions.values()) == point.call_or_answer
        assert sum(n for _, n in point.decisions.values()) == point.n
    assert set(points[1].decisions) <= {*KINDS, "result"}


def _point(step, **counts):
    return Point(step, **{"n": 9, "n_calls": 6, "call_or_answer": 5, "tool_name": 4, **counts})


def test_the_best_checkpoint_has_the_most_whole_calls_then_decisions_then_steps():
    points = [_point(1, whole=3), _point(2, whole=4), _point(3, whole=4), _point(4, whole=2)]
    assert best(points) == 3
    assert best([*points, _point(0, whole=4, call_or_answer=6)]) == 0


def test_the_best_checkpoint_is_the_best_of_seen_and_unseen_questions_together():
    seen = [_point(1, whole=4), _point(2, whole=3)]
    unseen = [_point(1, whole=1, questions="unseen"), _point(2, whole=3, questions="unseen")]
    assert best([*seen, *unseen]) == 2


def test_the_call_tags_of_the_base_model_can_win(tokenizer):
    assert list(preflight(cached_base(cache_folder()), tokenizer)) == []
    assert tokenizer.encode("<tool_call>", add_special_tokens=False) == [3]


@pytest.mark.parametrize("own", [{"model.embed_tokens": {"group_size": 32, "bits": 6}}, {}])
def test_call_tags_are_checked_in_mixed_quantisations_too(tmp_path, tokenizer, own):
    widths = own.get("model.embed_tokens", {"group_size": 64, "bits": 4})
    rows = mx.random.normal((len(tokenizer), 64), key=mx.random.key(1))
    rows[tokenizer.encode("</tool_call>", add_special_tokens=False)[0]] = rows[7] / 2
    weight, scales, biases = mx.quantize(rows, **widths)
    names = {"weight": weight, "scales": scales, "biases": biases}
    arrays = {f"model.embed_tokens.{name}": array for name, array in names.items()}
    mx.save_safetensors(str(tmp_path / "model.safetensors"), arrays)
    settings = {"group_size": 64, "bits": 4, **own}
    (tmp_path / "config.json").write_text(json.dumps({"quantization": settings}))
    (fault,) = preflight(tmp_path, tokenizer)
    assert fault.startswith("</tool_call> cannot win against ")


def _worst(one, other):
    return (mx.abs(one - other) / (1e-6 + mx.abs(other))).max().item()


def test_exp_of_sums_and_products_is_exp():
    x = mx.linspace(-87, 88, 200_001)
    assert _worst(cpu.exp(x), mx.exp(x)) < 2e-6
    assert cpu.exp(mx.array([-1e9, 0.0, 1e9])).tolist() == pytest.approx(
        [0.0, 1.0, 1.6516e38], rel=1e-3
    )


def test_attention_in_blocks_is_attention():
    queries, keys, values = (
        mx.random.normal((2, heads, 300, 16), key=mx.random.key(seed))
        for seed, heads in enumerate((9, 3, 3))
    )

    def gradients(attention):
        squares = lambda *given: (attention(*given, scale=0.2, mask="causal") ** 2).sum()  # noqa: E731
        return mx.grad(squares, argnums=(0, 1, 2))(queries, keys, values)

    ours, theirs = gradients(cpu.attention), gradients(mx.fast.scaled_dot_product_attention)
    for one, other in zip(ours, theirs, strict=True):
        assert mx.allclose(one, other, rtol=1e-4, atol=1e-4)


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
