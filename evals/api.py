"""Cases in tests of one's own: load or make them, ask a target, and fail with the whole story.

```python
from evals import Tool, make_case, open_target

case = make_case("Weather in Oslo?", tools=[Tool(name="get_weather")], expect={"some_call": True})
with open_target("http://127.0.0.1:8080/v1") as target:
    target.ask(case).check()
```
In a test the fixture `evals_ask(case)` does the asking and the checking.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.case import Case, Expect, Tool
from evals.config import Config, Profile, Target, cache_folder, read_config
from evals.errors import CaseFailed, CaseFileError, HarnessError
from evals.importers.drafts import case_id
from evals.importers.functions import tools_of_functions
from evals.lanes.lane import lane_named
from evals.lanes.server import read_response
from evals.loading.case_check import check_case
from evals.loading.casefile import find_case_files, read_cases
from evals.observation import PLAIN, Observation
from evals.report.text import failure_story
from evals.request import build_request
from evals.results import Answer, Record, Status
from evals.running.options import with_options
from evals.running.profile import Opened, open_profile
from evals.running.runner import judged

__all__ = [
    "Case",
    "CaseFailed",
    "Expect",
    "HarnessError",
    "Judged",
    "OpenTarget",
    "Tool",
    "judge_response",
    "load_cases",
    "make_case",
    "open_target",
    "tools_of_functions",
]


@dataclass(frozen=True)
class Judged:
    """An answer that was judged; `url` is the base of the API that was asked."""

    record: Record
    url: str = "http://127.0.0.1:PORT/v1"

    @property
    def passed(self) -> bool:
        """Whether everything that the case expects came, and nothing was violated."""
        return self.record.status in (Status.PASS, Status.KNOWN)

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """Name and arguments of each call; arguments that are no JSON stay text."""
        found = []
        for call in self.record.observation.calls:
            try:
                found.append((call.name, json.loads(call.arguments)))
            except ValueError:
                found.append((call.name, call.arguments))
        return found

    @property
    def content(self) -> str:
        """The text of the answer; empty where there is none."""
        return self.record.observation.content or ""

    @property
    def story(self) -> str:
        """What was asked, expected and answered, who is to blame, and how to repeat it."""
        return failure_story(self.record, self.url)

    def check(self) -> "Judged":
        """Itself, if it passed.

        Raises:
            CaseFailed: the answer is wrong; the message is its story.
            HarnessError: no whole answer came back.
        """
        __tracebackhide__ = True
        if self.record.status == Status.ERROR:
            raise HarnessError(self.story)
        if not self.passed:
            raise CaseFailed(self.story)
        return self


class OpenTarget:
    """A target that is ready to be asked; `open_target` makes one."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    @property
    def url(self) -> str:
        """The base URL of its API."""
        return self._opened.server.url if self._opened.server else ""

    def ask(self, case: Case, lane: str = PLAIN.name) -> Judged:
        """The judged answer to a case. A stream is asked beside its plain answer."""
        traits = lane_named(lane).traits
        plain = self._opened.ask(PLAIN.name, case) if traits.needs_plain else None
        seen = self._opened.ask(lane, case)
        return Judged(_record(case, seen, self._opened, plain), self.url)


def load_cases(*places: Path | str, root: Path | str | None = None) -> list[Case]:
    """The cases of files and folders; without any, of the folders that the configuration names.

    `root` is what their paths are relative to: the folder of the configuration, by default here.

    Raises:
        CaseFileError: every mistake of every file, at its line.
    """
    base = Path(root) if root is not None else Path.cwd()
    given: Sequence[Path] = [base / place for place in places]
    return read_cases(find_case_files(given or [base / n for n in read_config(base).cases]), base)


def make_case(
    ask: str | Sequence[Mapping[str, Any]],
    *,
    expect: Mapping[str, Any] | Expect,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    system: str | None = None,
    name: str | None = None,
    **settings: Any,
) -> Case:
    """A case in Python: a question or messages, tools (also functions), and what is expected.

    `expect` is as in a case file; `settings` are further keys of one, such as `max_tokens`.

    Raises:
        CaseFileError: no answer could be right; a line for each mistake.
        ConfigError: functions are among the tools, and the extra `agent` is not installed.
    """
    messages = [{"role": "user", "content": ask}] if isinstance(ask, str) else list(map(dict, ask))
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    offered = [tool if isinstance(tool, Tool) else tools_of_functions([tool])[0] for tool in tools]
    case = Case(
        id=name or case_id(str(messages[-1].get("content"))),
        path="python",
        line=1,
        category="python",
        messages=tuple(messages),
        tools=tuple(offered),
        expect=expect if isinstance(expect, Expect) else Expect.model_validate(expect),
        **settings,
    )
    if mistakes := list(check_case(case)):
        raise CaseFileError("\n".join(f"{case.id}: {mistake}" for mistake in mistakes))
    return case


@contextlib.contextmanager
def open_target(
    url: str | None = None,
    *,
    model: str | None = None,
    profile: str = "default",
    lanes: Sequence[str] = (PLAIN.name, "stream"),
    root: Path | str | None = None,
    timeout: float | None = None,
) -> Iterator[OpenTarget]:
    """A running server at `url`, or the target of a profile of the configuration in `root`.

    A target without a url is booted, and ended on leaving. `timeout`: seconds for each question.

    Raises:
        EvalsError: the configuration, server or model cannot be used.
    """
    base = Path(root) if root is not None else Path.cwd()
    config = read_config(base)
    if url is not None and profile not in config.profiles:
        config = Config(targets={"default": Target()}, profiles={profile: Profile()})
    config = with_options(config, profile, model=model, url=url, port=None)
    if timeout is not None:
        config = config.model_copy(update={"timeout": timeout})
    with (
        tempfile.TemporaryDirectory(prefix="evals-") as folder,
        open_profile(profile, config, lanes, Path(folder), cache_folder(), _quiet) as opened,
    ):
        yield OpenTarget(opened)


def _quiet(said: str) -> None:
    """What is said of a boot is in the story of what fails."""


def judge_response(case: Case, response: Mapping[str, Any]) -> Judged:
    """A chat completion, as a mapping, judged as the answer to `case`; nothing is asked."""
    return Judged(_record(case, read_response(json.dumps(response).encode(), 0.0), None, None))


def _record(
    case: Case, seen: Observation, opened: Opened | None, plain: Observation | None
) -> Record:
    traits = lane_named(seen.lane).traits
    request = seen.request or build_request(case, stream=traits.streamed)
    more: dict[str, Any] = {}
    if opened is not None:
        more = {
            "rendered_prompt_tokens": opened.prompt_tokens(request),
            "prompt": opened.prompt(request),
            "call_format": opened.call_format,
        }
    profile = opened.name if opened else "default"
    answer = Answer(
        case=case,
        profile=profile,
        traits=traits,
        request=request,
        observation=seen,
        plain=plain,
        **more,
    )
    return judged(answer)
