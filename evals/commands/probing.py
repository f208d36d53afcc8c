"""Commands that look before anything is asked: probe, doctor, machine, install and copying."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from evals.commands.terminal import or_exit
from evals.errors import EvalsError


def probe(
    url: Annotated[str, typer.Argument(help="base URL, such as http://127.0.0.1:8080/v1")],
    engine: Annotated[str | None, typer.Option(help="kind of server; else recognised")] = None,
    served_name: Annotated[str | None, typer.Option(help="what requests call the model")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="environment variable with the server's key")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", help="write the findings as JSON")] = None,
    timeout: Annotated[float, typer.Option(help="seconds for each request")] = 20.0,
) -> None:
    """Tell in some fifteen requests what an unknown server does with tools; print its target."""
    from evals.config import Target
    from evals.engines.registry import engine_named
    from evals.probing.report import probe_url
    from evals.running.targets import wishes_of

    kind = or_exit(lambda: engine_named(engine)) if engine else None
    target = Target(url=url, served_name=served_name, api_key_env=api_key_env)
    wishes = or_exit(lambda: wishes_of(target, os.environ))
    probed = or_exit(
        lambda: probe_url(url, engine=kind, wishes=wishes, api_key_env=api_key_env, timeout=timeout)
    )
    print("\n".join(probed.lines()))
    if output:
        output.write_text(probed.json_text(), encoding="utf-8")
    raise typer.Exit(0 if probed.passed else 1)


def doctor(
    model: Annotated[Path | None, typer.Argument(help="model folder or GGUF file")] = None,
) -> None:
    """Tell which engines would start here; of a model, whether it is whole and fit for tools."""
    from evals.config import cache_folder
    from evals.probing.doctor import engine_findings, model_findings
    from evals.probing.finding import table_lines

    findings = list(model_findings(model) if model else engine_findings(cache_folder()))
    print("\n".join(table_lines(findings)))
    raise typer.Exit(1 if any(finding.result == "fail" for finding in findings) else 0)


def machine(
    require: Annotated[
        Literal["gpu", "cpu"] | None,
        typer.Option(help="exit code 1 unless mlx computes on it"),
    ] = None,
) -> None:
    """Tell what computes here: chip, device, memory, system and versions, as a run records it."""
    from evals.report.github.commands import escape_data
    from evals.running.machine import check_device, machine_lines, this_machine
    from evals.running.packages import installed_versions

    here = this_machine()
    print("\n".join(machine_lines(here, installed_versions())))
    if require is None:
        return
    try:
        check_device(here, require)
    except EvalsError as error:
        # Of a job that ends here, the run's page shows this and nothing else.
        if os.environ.get("GITHUB_ACTIONS") == "true":
            print(f"::error title=what computes::{escape_data(str(error))}", flush=True)
        sys.exit(str(error))


def install(
    name: Annotated[str, typer.Argument(help="engine, such as transformers or vllm")],
) -> None:
    """Install an engine into an environment of its own in the cache; `--engine` finds it there."""
    from evals.config import cache_folder
    from evals.engines import environment
    from evals.engines.registry import engine_named

    kind = or_exit(lambda: engine_named(name))
    or_exit(lambda: environment.install(kind, cache_folder(), print))


def copying(
    template: Annotated[str, typer.Option(help="chat template of the replay model")] = (
        "qwen3-coder"
    ),
    vocabulary: Annotated[Literal["cut", "full"], typer.Option(help="4 MB, or Qwen3's own")] = (
        "cut"
    ),
    distance: Annotated[int, typer.Option(min=256, max=8192, help="longest script, about")] = 1024,
    gguf: Annotated[bool, typer.Option("--gguf", help="a GGUF file, not a folder")] = False,
) -> None:
    """Build the computed model that copies scripts, for any engine, and print where it is."""
    from evals.config import cache_folder
    from evals.replay.copy_model import CopyModel
    from evals.replay.vocabulary import VOCABULARIES

    chosen = next(v for v in VOCABULARIES if v.name == vocabulary)
    model = CopyModel(template, chosen, distance)
    print(or_exit(lambda: (model.gguf if gguf else model.folder)(cache_folder())))
