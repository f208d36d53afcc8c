"""Kinds of servers: how each is started and asked, as one value each."""

import importlib.metadata
import importlib.util
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from evals.engines import ports
from evals.engines.evidence import NONE, Evidence


@dataclass(frozen=True)
class Engine:
    """A kind of server. A field without a value means: as the OpenAI API says.

    `command` starts it, with `{model}`, `{host}`, `{port}` and `{python}` filled in; without one a
    server of this kind is only attached to. `typed` is how its users start it, if not so. `pins`
    are packages for an environment of its own, `overrides` those whose versions its makers' own
    metadata get wrong, and `unwanted` those that would come with them and break it. `replays` has
    the templates of the copying model that it plays, each with the arguments that parse its calls;
    `for_small` are more, for models as small as those that are built here. `served_name` is what
    requests call its model; None means that `/v1/models` tells. `omit` names what requests must not
    have.
    `boot_seconds` is the longest wait for its first token; `health_503` says whether its /health
    answers 503 while it loads, or for ever after it failed to. `renders` says who renders a prompt
    for a replayed script; `keeps_special` whether special tokens in messages reach the model;
    `joins_messages` whether those of the user that follow one another become one; `same_prompt`
    whether a prompt rendered here is the server's, token for token; `ends_streams` whether a stream
    has `[DONE]` behind its last chunk. `owners` are what its /v1/models says of who owns a model.
    `seen` says whether the tests run it, or it was run by hand with the copying model, and in which
    version.
    """

    name: str
    title: str
    command: tuple[str, ...] | None = None
    typed: tuple[str, ...] = ()
    loads: Literal["folder", "gguf"] = "folder"
    package: str | None = None
    module: str | None = None
    install: str = ""
    pins: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    replays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    for_small: tuple[str, ...] = ()
    served_name: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    evidence: Evidence = NONE
    boot_seconds: float = 180.0
    health_503: Literal["loading", "failed"] = "loading"
    renders: Literal["here", "vllm", "llama_cpp"] = "here"
    keeps_special: bool = True
    joins_messages: bool = False
    same_prompt: bool = True
    ends_streams: bool = True
    uses_mlx: bool = False
    owners: tuple[str, ...] = ()
    seen: Literal["in the tests", "by hand", "documentation only"] = "documentation only"
    seen_version: str = ""
    notes: tuple[str, ...] = ()

    def argv(
        self,
        model: Path | str,
        port: int,
        arguments: tuple[str, ...] = (),
        home: Path | None = None,
    ) -> list[str]:
        """The command line that serves `model` on `port` of this machine alone.

        `home` is the engine's own environment; without one, this one's programs are taken.

        Raises:
            ValueError: this kind of server is only attached to.
        """
        if self.command is None:
            raise ValueError(f"{self.name} has no command")
        values = {
            "model": str(model),
            "host": ports.HOST,
            "port": str(port),
            "python": str(home / "bin" / "python") if home else sys.executable,
        }
        program, *others = (part.format_map(values) for part in self.command)
        if home and not Path(program).is_absolute():
            program = str(home / "bin" / program)
        return [program, *others, *arguments]

    def shell(self, model: str, port: int, arguments: tuple[str, ...] = ()) -> str:
        """The line of a shell that its users type; `model` is put into it as it is.

        Raises:
            ValueError: this kind of server is only attached to.
        """
        line = replace(self, command=self.typed or self.command).argv("{model}", port, arguments)
        python = str(sys.executable)
        words = ("python" if word == python else word for word in line)
        return shlex.join(words).replace("'{model}'", model)

    def version(self) -> str | None:
        """The version of the installed package; None without one, or where there is none."""
        try:
            return importlib.metadata.version(self.package) if self.package else None
        except importlib.metadata.PackageNotFoundError:
            return None

    def can_boot(self, home: Path | None = None) -> bool:
        """Whether its command would find its program in `home` or here; nothing is imported."""
        if self.command is None:
            return False
        if home is not None:
            return True
        if self.command[0] != "{python}" and shutil.which(self.command[0]) is None:
            return False
        return self.module is None or importlib.util.find_spec(self.module) is not None
