"""One run of the suite in a process of its own, as `evals run` does it."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.errors import HarnessError
from evals.judging.scoring import Rate
from evals.report.summarize import by_training
from evals.report.summary import ProfileServed, Summary
from evals.report.summary_file import SUMMARY, read_summary
from evals.report.text import TRAINING
from evals.results import RECORDS, Record
from evals.stored import read_records

PROFILE = "default"
RATES = {
    "discrimination": "tool or answer",
    "tool_name": "tool name",
    "arguments": "arguments",
    "case": "whole case",
}
"""The rates of a benchmark's table, by their names in the summary."""
PARTS = {**TRAINING, "all": "all"}
"""What the parts of a run are called in a benchmark's table."""


@dataclass(frozen=True)
class Run:
    """A finished run of profile `default`: its summary and its records."""

    folder: Path
    summary: Summary
    records: tuple[Record, ...]

    def parts(self) -> Mapping[str, Sequence[Record]]:
        """The records on tools of the model's training and on others; all, if that is not known."""
        served = self.summary.fingerprint.profiles.get(PROFILE, ProfileServed())
        if served.trained_tools is None:
            return {"all": self.records}
        return by_training(self.records, served.trained_tools)


def run_suite(
    model: Path, folder: Path, options: Sequence[str], say: Callable[[str], None] = print
) -> Run:
    """Ask `model` the suite; a run that is there already is continued, and not asked again.

    `options` are those of `evals run`. Failed cases and a failed gate are results, no errors.

    Raises:
        HarnessError: the run did not come to its end; the message says where its output is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    say(f"suite: {model.name} in {folder}")
    summary = folder / SUMMARY
    log = folder / "output.txt"
    command = [sys.executable, "-m", "evals", "run"]
    begun = (folder / RECORDS).exists()
    place = ["--resume" if begun else "--run-dir", str(folder)]
    chosen = ["--model", str(model), "--profiles", PROFILE]
    with log.open("w") as output:
        done = subprocess.run(
            [*command, *chosen, *place, *options], stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode not in (0, 1) or not summary.exists():
        raise HarnessError(
            f"suite: the run in {folder} ended with exit code {done.returncode}; see {log}"
        )
    return Run(folder, read_summary(folder), tuple(read_records(folder / RECORDS)))


def rate_text(rate: Rate) -> str:
    """`0.938 [0.902, 0.962]`: a rate with its 95% interval."""
    if rate.value is None:
        return "not asked"
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"


def markdown(rows: Sequence[Sequence[str]], note: str) -> str:
    """A table of `rows`, the head and its alignments first, with a note below it."""
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", note, ""])
