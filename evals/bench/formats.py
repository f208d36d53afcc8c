"""Before and after: two adapters that differ only in the format of their training data.

One was trained on calls as JSON in a code fence, the other on the XML that the server reads. Both
are asked the same suite in three lanes; what the model can do is in lane `direct`, what of it
arrives is in the others.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from evals.bench.suite import PARTS, RATES, Run, markdown, rate_text, run_suite
from evals.disk import replace_file
from evals.judging.scoring import score
from evals.models.build import DEFAULT_ADAPTER
from evals.results import Record, Status
from evals.running.profile import build_default

ADAPTERS = {"before: JSON fences": f"{DEFAULT_ADAPTER}-json-fence", "after: XML": DEFAULT_ADAPTER}
LANES = ("direct", "server", "agent")
FIVE_QUESTIONS = "five_questions"


def formats(
    cache: Path, folder: Path, options: Sequence[str], say: Callable[[str], None] = print
) -> dict[str, Run]:
    """Build, serve and ask both adapters; writes `formats.md` into `folder`.

    Raises:
        ModelError: an adapter is missing or cannot be built.
        HarnessError: a run did not come to its end.
    """
    runs = {}
    for title, adapter in ADAPTERS.items():
        model = build_default(cache, say, adapter=adapter)
        lanes = ["--lanes", ",".join(LANES)]
        runs[title] = run_suite(model, folder / model.name, [*lanes, *options], say)
    replace_file(folder / "formats.md", table(runs))
    return runs


def table(runs: dict[str, Run]) -> str:
    """Both adapters by lane and by tools as Markdown, with the five questions and the blame."""
    head = ["trained on", "lane", "five questions", "tools", "cases", *RATES.values(), "blame"]
    rows = [head, ["---", "---", "--:", "---", "--:", *["---"] * (len(RATES) + 1)]]
    for title, run in runs.items():
        for lane in LANES:
            start = [title, lane, _five([r for r in run.records if r.lane == lane])]
            for part, records in run.parts().items():
                mine = [record for record in records if record.lane == lane]
                rates = score(mine).rates
                texts = [rate_text(rates[name]) for name in RATES]
                rows.append([*start, PARTS[part], str(rates["case"].n), *texts, blame(mine)])
                start = [""] * len(start)
    note = (
        "Five questions: in two wordings, call or answer as wanted. Rates: 95% Wilson intervals; "
        "name and arguments are of the cases that expect a call. Blame: what cases failed of."
    )
    return markdown(rows, note)


def _five(records: Sequence[Record]) -> str:
    """How many of the five questions, in two wordings each, were called or answered as wanted."""
    asked = [r for r in records if FIVE_QUESTIONS in r.case.node and r.scores]
    right = sum(bool(r.scores and r.scores.discrimination) for r in asked)
    return f"{right}/{len(asked)}"


def blame(records: Sequence[Record]) -> str:
    """The kinds and layers of the failed cases, most frequent first."""
    causes = [record.cause for record in records if record.status == Status.FAIL]
    counts = Counter(f"{verdict.kind} ({verdict.layer})" for verdict in causes if verdict)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common(4)) or "none"
