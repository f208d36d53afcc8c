"""A case drafted from an answer: the target is asked, and what came back is to be reviewed."""

import tempfile
from pathlib import Path

from evals.case import Case, Expect, Tool
from evals.config import cache_folder, read_config
from evals.disk import replace_file
from evals.errors import ConfigError, HarnessError
from evals.importers.case_text import case_file_text
from evals.importers.drafts import Draft, Imported, Names, case_id, checked, tool_entry
from evals.importers.logs import draft_entry
from evals.loading.tools import tools_of_file
from evals.observation import PLAIN, Observation
from evals.running.options import with_options
from evals.running.places import case_folders
from evals.running.profile import open_profile


def record_case(
    root: Path,
    question: str,
    tools: Path | None,
    profile: str,
    url: str | None,
    to: Path | None,
) -> Path:
    """Ask `question` with the tools of a file, and write a case file that expects the answer.

    Without `to` it lies in the first case folder, named by its case.

    Raises:
        EvalsError: the target cannot be asked, the answer makes no case, or the file is there.
    """
    config = read_config(root)
    name = case_id(question)
    path = to or case_folders(config, root)[0] / f"{name}.yaml"
    if path.exists():
        raise ConfigError(f"{path} is there already; give another file with --to")
    offered = tools_of_file(tools, root) if tools else ()
    case = Case(
        id=name,
        path=path.name,
        line=1,
        category="recorded",
        messages=({"role": "user", "content": question},),
        tools=tuple(offered),
        expect=Expect.model_validate({"answer": {}}),
    )
    asked = with_options(config, profile, model=None, url=url, port=None)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_profile(profile, asked, [PLAIN.name], Path(folder), cache_folder()) as opened,
    ):
        answer = opened.ask(PLAIN.name, case)
    if answer.error:
        raise HarnessError(f"no whole answer came back: {answer.error}")
    _write(path, name, question, offered, answer)
    return path


def _write(
    path: Path, name: str, question: str, offered: tuple[Tool, ...], answer: Observation
) -> None:
    names = Names()
    tools = [
        tool_entry(tool.model_dump(exclude_none=True, exclude={"result"}), names)
        for tool in offered
    ]
    calls = [{"function": {"name": c.name, "arguments": c.arguments}} for c in answer.calls]
    message = {"content": answer.content, "tool_calls": calls}
    messages = [{"role": "user", "content": question}]
    entry = draft_entry(name, messages, tools, message, names)
    if answer.content and not calls:
        entry["#"] += f"\nthe answer was: {answer.content}"
    usable = checked(Imported("an answer", files={name: [Draft(str(path), entry)]}))
    if usable.unusable:
        raise ConfigError(f"the answer makes no case: {usable.unusable[0].why}")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, case_file_text([entry], comments=["Recorded; review what is expected."]))
