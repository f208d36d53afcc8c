"""Commands that write a run in another form: report, and `evals export …`."""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import (
    CASES,
    LATEST,
    Against,
    AllowMismatch,
    Check,
    RunFolder,
    Unlike,
    or_exit,
    write_or_check,
)

FINDINGS = Path("docs/findings.md")
VERSIONS = Path("docs/versions")
CONFORMANCE = Path("docs/conformance.md")


def report(
    run: RunFolder = LATEST,
    compare: Against = None,
    allow_mismatch: AllowMismatch = False,
    unlike: Unlike = False,
    output: Annotated[Path | None, typer.Option("-o", help="file (default: in the run)")] = None,
) -> None:
    """Write the one-file HTML report of a run again, from its records."""
    from evals.report.html.files import report_run

    page = or_exit(
        lambda: report_run(run, against=compare, unlike=allow_mismatch or unlike, output=output)
    )
    print(f"report: {page}")


def allure(
    run: RunFolder = LATEST,
    multi_file: Annotated[
        bool, typer.Option("--multi-file", help="for a web server: tests load as they are opened")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", help="folder (default: in the run)")] = None,
) -> None:
    """Write the Allure 3 report of a run, one HTML file; needs Node.js."""
    from evals.config import cache_folder
    from evals.report.allure.html import make_html

    start = time.monotonic()
    page = or_exit(
        lambda: make_html(run, cache_folder(), print, output=output, multi_file=multi_file)
    )
    print(f"allure: {page} ({time.monotonic() - start:.0f} s)")


def github(
    run: RunFolder = LATEST,
    compare: Against = None,
    conformance: Annotated[
        bool,
        typer.Option(
            "--conformance", help="exit code 1 on a violation or an error; for a part of the suite"
        ),
    ] = False,
) -> None:
    """Write the job summary, annotations and, if the gate failed, the issue text for GitHub.

    job-summary.md and issue.md are written into the run's folder.
    """
    from evals.report.github.files import write_github

    told = or_exit(lambda: write_github(run, compare, os.environ))
    print("\n".join(told.annotations))
    raise typer.Exit(1 if conformance and not told.conforms else 0)


def scorecard(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, side by side")],
    output: Annotated[Path, typer.Option("-o", help="folder")] = Path("scorecard"),
) -> None:
    """Write a scorecard of runs: scorecard.html, scorecard.json, and a badge for each profile."""
    import json

    from evals.disk import replace_file
    from evals.report import scorecard as of
    from evals.report.summary_file import read_summary

    found = of.cards(or_exit(lambda: [read_summary(run) for run in runs]))
    texts = {"scorecard.html": of.page(found)}
    values = {"scorecard.json": of.as_json(found)}
    values |= {of.badge_name(card): of.badge(card) for card in found}
    texts |= {name: json.dumps(value, indent=2) + "\n" for name, value in values.items()}

    def write() -> None:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            replace_file(output / name, text)

    or_exit(write)
    print(f"scorecard: {output / 'scorecard.html'}")


def findings(
    run: Annotated[Path, typer.Argument(help="folder of a run of all replay profiles")] = LATEST,
    check: Check = False,
    engine: Annotated[str, typer.Option(help="whose findings; each has its page")] = "mlx_lm",
) -> None:
    """Write docs/findings.md, what the stock server gets wrong, from a run's records.

    Of another engine the page is docs/findings/ENGINE.md. docs/findings.json has them all as data.
    """
    from evals.config import read_config
    from evals.engines.registry import engine_named
    from evals.loading.casefile import find_case_files, read_cases
    from evals.report.findings import Page, findings_page, not_asked
    from evals.report.findings_data import findings_of, json_schema, merged
    from evals.report.findings_data import read as read_findings
    from evals.report.history import history_of
    from evals.report.summary_file import read_summary
    from evals.results import RECORDS
    from evals.stored import read_records

    cases = or_exit(lambda: read_cases(find_case_files([CASES]), Path.cwd()))
    config, kind = or_exit(lambda: read_config(Path.cwd())), or_exit(lambda: engine_named(engine))
    mine = frozenset(p for p in config.profiles if (config.target(p).engine or "mlx_lm") == engine)
    first = engine == "mlx_lm"
    path = FINDINGS if first else FINDINGS.with_suffix("") / f"{engine}.md"
    print_of = or_exit(lambda: read_summary(run)).fingerprint
    served = [print_of.profiles[p].engine_version for p in sorted(mine) if p in print_of.profiles]
    version = print_of.versions["mlx-lm"] if first else next((v for v in served if v), "?")
    history = or_exit(lambda: history_of(VERSIONS, kind.package))
    page = Page(version, mine, engine, kind.title, "../" if first else "../../", history)
    records = or_exit(lambda: list(read_records(run / RECORDS)))
    if missing := not_asked(cases, records, mine):
        asked = {
            name for case in missing for defect in case.known_defects for name in defect.profiles
        }
        profiles = sorted(asked & mine)
        sys.exit(
            f"{run} has no answer to {len(missing)} cases with known defects, such as "
            f"{missing[0].node}; run `make eval PROFILES={','.join(profiles)}` first"
        )
    stale = f"{path} is not what {run} shows; `evals export findings {run}` writes it again"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_or_check(path, findings_page(records, page), check=check, stale=stale)
    shown = [record for record in records if record.profile in mine]
    before = or_exit(lambda: read_findings(FINDINGS.with_suffix(".json")))
    found = findings_of(shown, engine, kind.package or engine, version, history)
    whole = merged(before, engine, found, history)
    for file, text in ((".json", whole.to_json()), (".schema.json", json_schema())):
        write_or_check(FINDINGS.with_suffix(file), text, check=check, stale=stale)


def conformance(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="folders of runs of replay profiles")
    ] = None,
    check: Check = False,
    page: Annotated[Path | None, typer.Option("--html", help="write the table as HTML")] = None,
) -> None:
    """Write docs/conformance.md: what each version of each engine makes of the same texts.

    The results of `runs` are kept in docs/conformance/, beside those of earlier runs.
    """
    from evals.report.conformance import columns_of, keep, kept
    from evals.report.conformance_page import html_page, markdown, terminal_lines
    from evals.report.summary_file import read_summary
    from evals.results import RECORDS
    from evals.stored import read_records

    folder = CONFORMANCE.with_suffix("")

    def add(run: Path) -> None:
        keep(columns_of(read_summary(run), read_records(run / RECORDS)), folder)

    for run in runs or ():
        or_exit(partial(add, run))
    columns = or_exit(lambda: kept(folder))
    print("\n".join(terminal_lines(columns)))
    if page:
        page.write_text(html_page(columns), encoding="utf-8")
    stale = f"{CONFORMANCE} is not what is kept in {folder}; `evals export conformance` writes it"
    write_or_check(CONFORMANCE, markdown(columns), check=check, stale=stale)
