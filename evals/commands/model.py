"""`evals model …`: build and train the default model, and check and convert training data."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from evals.commands.terminal import CASES, OneOf, or_exit
from evals.extras import need
from evals.models.build import DEFAULT_ADAPTER


def _call_formats() -> Sequence[str]:
    from evals.training.turns import written_formats

    return written_formats()


def _row_shapes() -> Sequence[str]:
    from evals.training.convert import RowShape

    return get_args(RowShape)


_CALL_FORMAT = OneOf("call format", _call_formats)
_ROW_SHAPE = OneOf("shape of rows", _row_shapes)


def build(
    quantization: Annotated[str, typer.Option(help="fp16, 8-bit … 2-bit, mixed-4-6 …")] = "5-bit",
    adapter: Annotated[str, typer.Option(help="a shipped adapter")] = DEFAULT_ADAPTER,
    weights: Annotated[
        str | None, typer.Option(help="exit code 1 unless its weights have this digest")
    ] = None,
) -> None:
    """Build the default model in the form that this machine serves, and print its folder."""
    from evals.config import cache_folder
    from evals.models.build import check_weights
    from evals.running.profile import build_default

    folder = or_exit(
        lambda: build_default(cache_folder(), print, quantization=quantization, adapter=adapter)
    )
    if weights:
        or_exit(lambda: check_weights(folder, weights))
    print(folder)


def digest(model: Annotated[Path, typer.Argument(help="a model's folder")]) -> None:
    """Print the digest of a model's weights, as a run's fingerprint has it."""
    from evals.models.build import weights_digest

    print(weights_digest(model))


def train(
    name: Annotated[str, typer.Argument(help="name of the adapter")] = DEFAULT_ADAPTER,
    iterations: Annotated[int | None, typer.Option(min=1, help="training steps")] = None,
    torch: Annotated[
        str,
        typer.Option(
            metavar="PYTHON",
            help="steps in torch, faster on a CPU: the Python of an environment that has it",
        ),
    ] = "",
) -> None:
    """Train an adapter again on the generated dataset, with the recorded settings and seeds."""
    or_exit(lambda: need("train", "training"))
    from evals.config import cache_folder
    from evals.engines.blas import preload_environment
    from evals.training.recipe import train_adapter

    environment = preload_environment(cache_folder())
    if environment != dict(os.environ):
        # The fast BLAS has to be there before mlx is loaded: the same command, once more.
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    or_exit(lambda: train_adapter(name, CASES / "tools", cache_folder(), iterations, torch))


def convert(
    source: Annotated[Path, typer.Argument(help="chat rows, JSONL; formats of calls may be mixed")],
    target: Annotated[Path, typer.Argument(help="file to write")],
    to: Annotated[
        Any, typer.Option(parser=_CALL_FORMAT, help="call format of the target", metavar="FORMAT")
    ],
    rows: Annotated[
        Any,
        typer.Option(
            parser=_ROW_SHAPE,
            metavar="SHAPE",
            help="per-turn: a row for each assistant turn; no way back",
        ),
    ] = "as-is",
    validation: Annotated[
        Path | None, typer.Option(help="file for a part of the rows, held out of the target")
    ] = None,
    share: Annotated[float, typer.Option(help="about how much of the rows is held out")] = 0.1,
    seed: Annotated[int, typer.Option(help="decides which rows are held out")] = 7,
) -> None:
    """Rewrite the calls of training rows in another format; exit code 1 if rows were rejected."""
    from evals.training.convert import Validation, convert_file, report_lines

    held_out = Validation(validation, share, seed) if validation else None
    report = or_exit(lambda: convert_file(source, target, to, shape=rows, validation=held_out))
    print("\n".join(report_lines(report)))
    raise typer.Exit(1 if report.rejected else 0)


def audit(
    data: Annotated[
        Path | None, typer.Argument(help="training rows, JSONL; without: the shipped model's")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="rows for validation, JSONL")] = None,
    recipe: Annotated[
        str, typer.Option(help="the adapter whose data is checked")
    ] = DEFAULT_ADAPTER,
) -> None:
    """Check training data for leaked cases, balance, format, overlap and prompt; exit code 1."""
    or_exit(lambda: need("train", "the audit of training data"))
    from evals.config import cache_folder
    from evals.lanes.tokens import load_tokenizer, render
    from evals.loading.casefile import find_case_files, read_cases
    from evals.models.build import cached_base
    from evals.training.audit import audit, read_rows
    from evals.training.distance import UNSEEN, distance
    from evals.training.encode import encode
    from evals.training.recipe import dataset, find_recipe

    if data:
        rows = or_exit(lambda: read_rows(data))
        held_out = or_exit(lambda: read_rows(validation)) if validation else []
    else:
        made = or_exit(lambda: find_recipe(recipe)).data
        rows, held_out = or_exit(lambda: dataset(CASES / "tools", made))
    cases = or_exit(lambda: read_cases(find_case_files([CASES]), Path.cwd()))
    tokenizer = load_tokenizer(or_exit(lambda: cached_base(cache_folder())))
    result = audit(
        rows,
        held_out,
        [(case.node, case.question) for case in cases],
        learned=lambda row: encode(row, tokenizer),
        served=lambda request: render(tokenizer, request),
    )
    unseen = [case for case in cases if case.category == UNSEEN]
    print("\n".join([*result.facts, *distance(rows, unseen)]))
    for problem in result.problems:
        print(f"{problem.check}: {problem.text}")
    found = len(result.problems)
    print(f"audit: {found or 'no'} problem{'s' if found > 1 else ''}")
    raise typer.Exit(1 if result.problems else 0)
