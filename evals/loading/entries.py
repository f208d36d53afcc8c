"""What may stand in a case file: the models of its keys, and their JSON Schema for editors."""

import json
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from evals.case import Expect, Identifier, KnownDefect, ReplayScript, Tool, ToolChoice
from evals.described import Described
from evals.judging import matchers


class _Entry(Described):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseSettings(_Entry):
    """What a case may say, and what a file's `defaults` may say for all of its cases."""

    system: str | None = Field(default=None, description="System message before the question.")
    tools: list[str | Tool] | None = Field(
        default=None,
        description="Available tools: names from tools/*.yaml or tools_from, or tools in full.",
    )
    tools_from: str | None = Field(
        default=None,
        description="A file of tools beside this one (JSON or YAML, as OpenAI, MCP or Anthropic "
        "spell them); without `tools` all of them are available.",
    )
    tool_choice: ToolChoice | dict[str, Any] | None = None
    """OpenAI's `tool_choice`; a mapping names one function."""
    parallel_tool_calls: bool | None = None
    """OpenAI's `parallel_tool_calls`; with `false`, a second call is a violation."""
    max_tokens: int | None = Field(default=None, ge=1, le=8192)
    """Where an answer is cut off."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 is greedy: always the likeliest token."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sample from the likeliest tokens that have this share together."""
    stop: list[str] | None = Field(default=None, min_length=1)
    """Texts at which the answer ends, and that are not part of it."""
    response_format: dict[str, Any] | None = None
    """OpenAI's `response_format`; an answer must then be JSON, and satisfy its schema."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Values for the chat template, such as {enable_thinking: false}."""
    extra_body: dict[str, Any] | None = None
    """Any other keys of the request, passed on as they are and not judged."""
    repeat: int | None = Field(default=None, ge=1, description="Ask this often.")
    tags: list[Identifier] | None = None
    """Marks for `pytest -m`."""
    tier: str | None = Field(default=None, pattern="^(smoke|full)$")
    """`--tier smoke` asks the cases of tier `smoke` alone."""
    critical: bool | None = Field(default=None, description="The gate forgives no failure.")
    link: str | None = Field(
        default=None, pattern="^https://", description="Public page about this case."
    )
    known_defects: list[KnownDefect] | None = None
    """Defects downstream of the model that make the case fail; then it enters no rate. A case's own
    are looked at before those of `defaults`; an empty list has none of these either."""
    profiles: list[str] | None = Field(default=None, description="Ask it in these profiles only.")


class CaseEntry(CaseSettings):
    """One case as it stands in a file, or several where it has `vars` or `matrix`."""

    id: Identifier
    """Its name within the file; `pytest -k` finds it."""
    vars: list[dict[str, Any]] | None = None
    """Rows of values for `{{name}}`, a case each; `id` in a row ends the id of its case."""
    matrix: dict[str, list[Any]] | None = None
    """Lists of values for `{{name}}`, a case for each combination."""
    ask: str | None = Field(default=None, min_length=1, description="The question, as one message.")
    messages: list[dict[str, Any]] | None = Field(
        default=None, min_length=1, description="A whole conversation, in place of ask."
    )
    expect: Expect
    """What is right."""
    replay: ReplayScript | None = Field(
        default=None, description="What the replay model writes, in place of a real model."
    )

    @model_validator(mode="after")
    def _one_question(self) -> "CaseEntry":
        if (self.ask is None) == (self.messages is None):
            raise ValueError("give exactly one of ask and messages")
        return self


class CaseFile(_Entry):
    """A case file."""

    category: Identifier | None = Field(
        default=None, description="Where its rates are counted; the folder's name by default."
    )
    defaults: CaseSettings = CaseSettings()
    """For all cases of this file; a case may say otherwise."""
    cases: list[CaseEntry] = Field(min_length=1)
    """The cases."""


def json_schema() -> str:
    """The JSON Schema of case files, as the text of `cases/schema.json`."""
    schema = CaseFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    forms = "; ".join(f"{matcher.form}: {matcher.doc}" for matcher in matchers.MATCHERS)
    arguments = schema["$defs"]["ExpectedCall"]["properties"]["arguments"]
    arguments["description"] = f"All of its arguments, as values or matchers. {forms}"
    schema["$defs"]["Tool"] = _any_tool(schema["$defs"]["Tool"])
    return _text(schema)


def tools_json_schema() -> str:
    """The JSON Schema of files in a `tools` folder: the text of `cases/tools.schema.json`."""
    own = Tool.model_json_schema()
    named = {**own, "required": [], "description": "A tool; the key above is its name."}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ToolFile",
        "description": "A file of tools: each by its name, the keys of a tool below it.",
        "type": "object",
        "additionalProperties": {"anyOf": [_any_tool(named), {"type": "null"}]},
    }
    return _text(schema)


def _any_tool(own: dict[str, Any]) -> dict[str, Any]:
    """A tool in the spelling of this suite, with those of MCP, Anthropic and OpenAI beside it."""
    parameters = {"description": "The parameters, as MCP spells them.", "type": "object"}
    others = {
        "inputSchema": parameters,
        "input_schema": {**parameters, "description": "The parameters, as Anthropic spells them."},
        "type": {"description": "OpenAI's `function` or Anthropic's `custom`.", "type": "string"},
        "function": {"description": "The tool itself, as OpenAI spells it.", "type": "object"},
    }
    return {
        **own,
        "properties": {**own["properties"], **others},
        "required": [],
        "additionalProperties": True,
    }


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
