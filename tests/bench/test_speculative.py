"""`evals bench speculative` with copying models: a draft that says all, one that says nothing."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from builders import write_project

from evals.bench.drafting import Setting
from evals.bench.speculative import Plan, check_same_words, measure
from evals.bench.speculative_report import rows
from evals.config import cache_folder
from evals.errors import ConfigError, ModelError
from evals.models.draft import shallow
from evals.replay.copy_model import CopyModel
from evals.replay.vocabulary import FULL

CALL = r"<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
CASES = "cases:\n" + "".join(
    f'- {{id: {name}, ask: Say {name}., expect: {{answer: {{}}}}, replay: {{text: "{CALL}"}}}}\n'
    for name in "ab"
)


TARGET = '[targets.default]\nmodel = "copy"\n'
NO_CACHE = 'arguments = ["--prompt-cache-size", "0"]\n'


@pytest.fixture
def copying(tmp_path: Path) -> Path:
    return write_project(tmp_path, {"cases/c.yaml": CASES, "evals.toml": TARGET + NO_CACHE})


def _measure(project: Path, draft: Path, plan: Plan, **more):
    folder = project / "out"
    passes = measure(project, folder, {}, plan, draft=str(draft), **more)
    return passes, rows(passes), (folder / "speculative.md").read_text()


def test_a_draft_that_is_the_model_itself_is_accepted_whole(copying: Path) -> None:
    same = CopyModel().folder(cache_folder())
    plan = Plan(draft_tokens=[3], in_flight=[2], cases=2, repeats=2, max_tokens=60)
    passes, told, text = _measure(copying, same, plan, say=lambda text: None)
    assert [of.setting for of in passes[:3]] == plan.settings
    assert [of.setting for of in passes[3:]] == [*plan.settings[1:], Setting()]
    off, batch, three = told
    assert (off.single, off.accepted) == ((1.0, 1.0), None)
    assert len(batch.single) == len(three.single) == len(three.batched) == 2
    assert three.accepted is not None
    assert three.accepted.rate == 1
    assert three.accepted.length is not None
    assert three.accepted.length > 3
    answered = [
        len(answer.ids) for of in passes if of.setting == Setting(3) for answer in of.answers
    ]
    assert three.accepted.tokens == sum(answered) > 20
    assert not any(row.flips or row.hung or row.errors for row in told)
    assert "| 3 draft tokens | 4 |" in text
    stored = json.loads((copying / "out/speculative.json").read_text())
    assert [row["name"] for row in stored["rows"]] == ["off", "off, 2 in flight", "3 draft tokens"]


def test_the_stock_prompt_cache_leaves_a_draft_behind(copying: Path) -> None:
    """What a second answer takes out of the cache of mlx_lm.server 0.32.2 is the draft's no more.

    Its answers stay right, and nothing that the draft says is accepted: docs/benchmarks.md.
    """
    (copying / "evals.toml").write_text(TARGET)
    same = CopyModel().folder(cache_folder())
    plan = Plan(draft_tokens=[3], in_flight=[1], cases=2, repeats=1, max_tokens=60)
    passes, told, _ = _measure(copying, same, plan, say=lambda text: None)
    rates = [answer.accepted.rate for answer in passes[1].answers if answer.accepted]
    assert rates == [1, 0]
    assert not told[1].flips


def test_a_bad_draft_is_accepted_hardly_ever_and_changes_nothing(copying: Path) -> None:
    bad = CopyModel(distance=300).folder(cache_folder())
    plan = Plan(draft_tokens=[2], in_flight=[1], cases=2, repeats=1, max_tokens=60)
    _, told, text = _measure(copying, bad, plan, say=lambda text: None)
    _, two = told
    assert two.accepted is not None
    assert two.accepted.rate is not None
    assert two.accepted.rate < 0.1
    assert not two.flips
    assert two.batched == ()  # nothing was batched
    assert "measured once: no repeat" in text


def test_a_server_that_hangs_is_a_result(copying: Path) -> None:
    same = CopyModel().folder(cache_folder())
    plan = Plan(draft_tokens=[2], in_flight=[1], cases=2, repeats=1, limit=4.0, max_tokens=60)

    def stop(text: str) -> None:
        if ready := re.search(r"draft tokens: ready, pid (\d+)", text):
            os.kill(int(ready[1]), signal.SIGSTOP)

    passes, told, text = _measure(copying, same, plan, say=stop)
    assert [row.hung for row in told] == [(), ("cases/c.yaml::a: no answer in 4 s",)]
    assert len(passes[1].answers) == 1  # the next would wait behind it
    assert told[1].single == ()
    assert "* hung: 2 draft tokens: cases/c.yaml::a: no answer in 4 s" in text


def test_a_draft_with_another_tokenizer_is_refused() -> None:
    cache = cache_folder()
    ours, other = CopyModel().folder(cache), CopyModel(vocabulary=FULL).folder(cache)
    check_same_words(ours, CopyModel(distance=300).folder(cache))
    with pytest.raises(ConfigError, match="has another tokenizer than"):
        check_same_words(ours, other)


def test_a_draft_has_some_of_the_layers(base_model: Path, tmp_path: Path) -> None:
    draft = shallow(base_model, 3, tmp_path)
    assert json.loads((draft / "config.json").read_text())["num_hidden_layers"] == 3
    ours, theirs = (_arrays(folder) for folder in (draft, base_model))
    last = max(int(found[1]) for name in theirs if (found := re.search(r"layers\.(\d+)\.", name)))
    assert len(ours) < len(theirs)
    for name, content in ours.items():
        found = re.search(r"layers\.(\d+)\.", name)
        number = {"0": 0, "1": 1, "2": last}[found[1]] if found else 0
        source = re.sub(r"layers\.\d+\.", f"layers.{number}.", name)
        assert content == theirs[source]
    assert shallow(base_model, 3, tmp_path) == draft
    with pytest.raises(ModelError, match="give fewer, at least 1"):
        shallow(base_model, last + 1, tmp_path)


def _arrays(folder: Path) -> dict[str, bytes]:
    found = {}
    for file in folder.glob("*.safetensors"):
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            found[name] = content[8 + length + start : 8 + length + end]
    return found
