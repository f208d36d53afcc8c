"""`evals bench …`: the suite on several models side by side, and how long answers take."""

from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import or_exit, say


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
    print(f"sweep: {folder / 'sweep.md'}, {folder / 'sweep.json'}, {folder / 'sweep-*.svg'}")


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


def latency(
    profiles: Annotated[str, typer.Option(help="whose answers")] = "default",
    lanes: Annotated[str, typer.Option(help="how they are asked")] = "server,stream",
    in_flight: Annotated[str, typer.Option(help="questions at a time")] = "1,2,4,8",
    cases: Annotated[int, typer.Option(min=1, help="questions of each profile and lane")] = 40,
    model: Annotated[str | None, typer.Option(help="in place of the target's")] = None,
    attach: Annotated[str | None, typer.Option(help="URL of a running server")] = None,
    folder: Annotated[Path, typer.Option(help="where results go")] = Path("reports/latency"),
) -> None:
    """Measure latency by lane and by questions in flight, cold and warm."""
    from evals.bench import latency as bench

    levels = _numbers(in_flight)
    given = {"profiles": profiles, "lanes": lanes, "model": model, "attach": attach}
    settings = {name: value for name, value in given.items() if value is not None}
    folder.mkdir(parents=True, exist_ok=True)
    rows = or_exit(lambda: bench.measure(Path.cwd(), folder, settings, levels, cases, say))
    print(bench.table(rows))
    print(f"latency: {folder / 'latency.md'}, {folder / 'latency.json'}, {folder / 'e2el.svg'}")


def speculative(
    profile: Annotated[str, typer.Option(help="whose cases are asked")] = "default",
    draft: Annotated[
        str | None, typer.Option(help="folder or hub name; without, some of the model's own layers")
    ] = None,
    layers: Annotated[int, typer.Option(min=1, help="layers of a draft of the model's own")] = 20,
    tokens: Annotated[str, typer.Option(help="draft tokens at a time")] = "2,3,5",
    in_flight: Annotated[str, typer.Option(help="batched runs to compare with")] = "4,8",
    cases: Annotated[int, typer.Option(min=1, help="cases in each pass")] = 20,
    repeats: Annotated[int, typer.Option(min=1, help="passes of each setting")] = 3,
    limit: Annotated[float, typer.Option(min=0.1, help="seconds for a question; a hang")] = 300.0,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="longest answer")] = None,
    model: Annotated[str | None, typer.Option(help="in place of the target's")] = None,
    folder: Annotated[Path, typer.Option(help="where results go")] = Path("reports/speculative"),
) -> None:
    """Measure speculative decoding: ratio to one at a time and to a batch, acceptance, parity."""
    from evals.bench import speculative as bench

    given = {"profiles": profile, "model": model}
    settings = {name: value for name, value in given.items() if value is not None}
    plan = bench.Plan(_numbers(tokens), _numbers(in_flight), cases, repeats, limit, max_tokens)

    def measure() -> None:
        bench.measure(Path.cwd(), folder, settings, plan, draft=draft, layers=layers, say=say)

    or_exit(measure)
    print((folder / "speculative.md").read_text(encoding="utf-8"))
    print(f"speculative: {folder / 'speculative.md'}, {folder / 'speculative.json'}")


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give numbers such as 1,2,4,8") from None
    if min(numbers) < 1:
        raise typer.BadParameter(f"{text!r}: each is at least 1")
    return numbers
