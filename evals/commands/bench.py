"""`evals bench …`: the suite on several models, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import or_exit


def sweep(
    context: typer.Context,
    widths: Annotated[str, typer.Option(help="quantisations, the first to compare with")] = "",
    folder: Annotated[Path, typer.Option(help="where results go")] = Path("reports/sweep"),
) -> None:
    """Run the suite on the default model at each quantisation; takes the options of `run`."""
    from evals.bench import sweep as bench
    from evals.config import cache_folder

    chosen = widths.split(",") if widths else bench.WIDTHS
    variants = or_exit(lambda: bench.sweep(cache_folder(), folder, chosen, context.args))
    print(bench.table(variants))
    print(f"sweep: {folder / 'sweep.md'}, {folder / 'sweep.svg'}")


def formats(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="where results go")] = Path("reports/formats"),
) -> None:
    """Run the suite on two adapters, trained on JSON fences and on XML; takes options of `run`."""
    from evals.bench import formats as bench
    from evals.config import cache_folder

    runs = or_exit(lambda: bench.formats(cache_folder(), folder, context.args))
    print(bench.table(runs))
    print(f"formats: {folder / 'formats.md'}")
