"""Cases of a promptfoo configuration: prompts × tests, with the tools of its providers.

Text is read, and nothing of it is run: JavaScript, Python, webhooks and model-graded assertions are
listed with their place. What stands in other files is read where it is data and lies in the
configuration's folder or below it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.importers.drafts import Draft, Imported, Listed, asked, case_id, tool_entry
from evals.importers.promptfoo_asserts import Wanted, read_assertions
from evals.importers.promptfoo_file import PromptfooFile, UnusableError
from evals.importers.promptfoo_prompts import Prompt, messages_of, read_prompts

OWN = "toolcall_evals"
"""The key of a test's `metadata` under which `evals export promptfoo` keeps what it cannot say."""
_MOST_OF_TEST = 200
_OTHER_SHAPES = (KeyError, TypeError, AttributeError, IndexError)
_CHANGED = ("transform", "postprocess", "transformVars", "prefix", "suffix")
"""Options of a test that change its question or its answer."""


def read_promptfoo(path: Path) -> Imported:
    """The cases of one configuration as drafts, and what it lists.

    Raises:
        CaseFileError: the file is none.
    """
    file = PromptfooFile(path)
    imported = file.imported
    prompts = list(read_prompts(file))
    drafts: list[Draft] = []
    try:
        tools = _tools(file)
    except UnusableError as error:
        imported.unusable.append(Listed(file.place("providers"), str(error)))
        return imported
    for keys, test in _tests(file):
        try:
            drafts += _drafts(file, keys, test, prompts, tools, [d.entry["id"] for d in drafts])
        except (UnusableError, ValueError) as error:
            imported.unusable.append(Listed(file.place(*keys), str(error)))
        except _OTHER_SHAPES as error:
            said = f"not as promptfoo's tests are: {error!r}"
            imported.unusable.append(Listed(file.place(*keys), said))
    if "scenarios" in file.data:
        imported.unusable.append(Listed(file.place("scenarios"), "scenarios are not read"))
    if drafts:
        stem = path.parent.name if path.stem.startswith("promptfooconfig") else path.stem
        imported.files[case_id(stem)] = drafts
    if not drafts and not imported.unusable:
        imported.unusable.append(Listed(str(path), "it has no tests"))
    imported.notes += file.names.notes(str(path))
    return imported


def _tools(file: PromptfooFile) -> list[dict[str, Any]]:
    """The tools of the first provider that has some; those of others are noted if they differ.

    Raises:
        UnusableError: there are some, and none is a function that a case can have.
    """
    found: list[list[dict[str, Any]]] = []
    unread: list[str] = []
    providers = file.data.get("providers") or file.data.get("targets") or []
    for number, provider in enumerate(providers if isinstance(providers, list) else [providers]):
        place = file.place("providers", number)
        for config in _configs(provider):
            given = config.get("tools") or config.get("functions")
            try:
                tools = _tool_list(file, given) if given else []
            except (UnusableError, ValueError, *_OTHER_SHAPES) as error:
                unread.append(str(error))
                file.imported.notes.append(Listed(place, str(error)))
                continue
            if tools and found and tools != found[0]:
                said = "its tools are others than those of an earlier provider; left out"
                file.imported.notes.append(Listed(place, said))
            elif tools:
                found.append(tools)
    if unread and not found:
        raise UnusableError(f"the tools of its providers cannot be used: {unread[0]}")
    return found[0] if found else []


def _configs(provider: Any) -> Iterator[Mapping[str, Any]]:
    """`config` of a provider, which may stand below its id."""
    if not isinstance(provider, Mapping):
        return
    inner = [provider, *(value for value in provider.values() if isinstance(value, Mapping))]
    yield from (one["config"] for one in inner if isinstance(one.get("config"), Mapping))


def _tool_list(file: PromptfooFile, given: Any) -> list[dict[str, Any]]:
    given = file.resolved(given, "the tools")
    entries: list[Any] = []
    for entry in given if isinstance(given, list) else [given]:
        entry = file.resolved(entry, "the tool")
        entries += entry if isinstance(entry, list) else [entry]
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise UnusableError("tools are a list of mappings")
    return [tool_entry(one, file.names) for entry in entries for one in _functions(entry)]


def _functions(entry: Mapping[str, Any]) -> list[Any]:
    """The functions of one entry of `tools`, as Bedrock, Gemini and Adaline nest them, too."""
    for key in ("functionDeclarations", "function_declarations"):
        if isinstance(entry.get(key), list):
            return [_lower_types(one) for one in entry[key]]
    schema = _mapping(entry.get("definition")).get("schema")
    nested: Any = entry.get("toolSpec") or schema
    inner = _mapping(nested).get("inputSchema")
    if isinstance(inner, Mapping) and isinstance(inner.get("json"), Mapping):
        return [{**nested, "inputSchema": inner["json"]}]
    return [nested if isinstance(nested, Mapping) else entry]


def _lower_types(value: Any) -> Any:
    """Gemini spells JSON Schema's types in capitals."""
    if isinstance(value, list):
        return [_lower_types(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: item.lower() if key == "type" and isinstance(item, str) else _lower_types(item)
        for key, item in value.items()
    }


def _tests(file: PromptfooFile) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    given = file.data.get("tests")
    try:
        given = file.resolved(given, "the tests")
    except (UnusableError, ValueError) as error:
        file.imported.unusable.append(Listed(file.place("tests"), str(error)))
        return
    if isinstance(given, Mapping):
        given = [given]
    if isinstance(given, str):
        said = f"tests in {given!r} are not read: give a list, or file://….yaml or .json"
        file.imported.unusable.append(Listed(file.place("tests"), said))
    for number, test in enumerate(given if isinstance(given, list) else []):
        if isinstance(test, Mapping):
            yield ("tests", number), test
        else:
            said = f"a test is a mapping, not {str(test)[:60]!r}"
            file.imported.unusable.append(Listed(file.place("tests", number), said))


def _drafts(
    file: PromptfooFile,
    keys: tuple[str | int, ...],
    test: Mapping[str, Any],
    prompts: Sequence[Prompt],
    tools: list[dict[str, Any]],
    taken: list[str],
) -> list[Draft]:
    default = _mapping(file.resolved(file.data.get("defaultTest"), "defaultTest"))
    own = _mapping(_mapping(test.get("metadata")).get(OWN))
    options = {**_mapping(default.get("options")), **_mapping(test.get("options"))}
    if changed := [key for key in _CHANGED if options.get(key)]:
        raise UnusableError(f"its option {changed[0]} changes the question or the answer")
    if test.get("threshold", default.get("threshold", 1)) != 1:
        raise UnusableError("a threshold below 1: not all of its assertions need to hold")
    if options.get("tools"):
        tools = _tool_list(file, options["tools"])
    wanted = _wanted(file, keys, test, default, tools, own)
    drafts: list[Draft] = []
    variables = {
        **_mapping(default.get("vars")),
        **_mapping(file.resolved(test.get("vars"), "vars")),
    }
    for row in _rows(variables):
        for prompt in prompts:
            drafts.append(_draft(file.place(*keys), prompt, row, test, wanted, tools, own, taken))
            taken.append(drafts[-1].entry["id"])
    if not drafts:
        raise UnusableError("none of the prompts can be used")
    return drafts


def _wanted(
    file: PromptfooFile,
    keys: tuple[str | int, ...],
    test: Mapping[str, Any],
    default: Mapping[str, Any],
    tools: list[dict[str, Any]],
    own: Mapping[str, Any],
) -> Mapping[str, Any]:
    if own.get("expect"):
        return dict(own["expect"])
    stated = [
        *(((*keys, "assert", n), a) for n, a in enumerate(_list(test.get("assert")))),
        *((("defaultTest", "assert", n), a) for n, a in enumerate(_list(default.get("assert")))),
    ]
    wanted = Wanted([tool["name"] for tool in tools], file.names)
    left = list(read_assertions(stated, wanted))
    expect = wanted.expect()
    reasons = [Listed(file.place(*place), why) for place, why in left]
    if expect is None:
        listed = "; ".join(one.why for one in reasons) or "it has none"
        raise UnusableError(f"no assertion that can be imported: {listed}")
    file.imported.notes += reasons
    return expect


def _rows(variables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One mapping for each combination of the variables that are lists."""
    lists = {key: value for key, value in variables.items() if isinstance(value, list)}
    count = 1
    for values in lists.values():
        count *= max(len(values), 1)
    if count > _MOST_OF_TEST:
        raise UnusableError(f"{count} combinations of its variables; {_MOST_OF_TEST} are read")
    for chosen in itertools.product(*lists.values()):
        yield {**variables, **dict(zip(lists, chosen, strict=True))}


def _draft(
    place: str,
    prompt: Prompt,
    row: Mapping[str, Any],
    test: Mapping[str, Any],
    wanted: Mapping[str, Any],
    tools: list[dict[str, Any]],
    own: Mapping[str, Any],
    taken: Sequence[str],
) -> Draft:
    messages = own.get("messages") or messages_of(prompt.text, row)
    name = own.get("id") or test.get("description") or str(messages[-1].get("content"))
    entry: dict[str, Any] = {"id": case_id(str(name), taken), **asked(messages)}
    return Draft(place, {**entry, **({"tools": tools} if tools else {}), "expect": wanted})


def _list(value: Any) -> list[Any]:
    """`value`, if it is a list or nothing.

    Raises:
        UnusableError: it is not.
    """
    if value is None or isinstance(value, list):
        return value or []
    raise UnusableError(f"assertions are a list, not {str(value)[:60]!r}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
