"""Cases: one question each, with the available tools and what is expected; from YAML, frozen."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import Field, StringConstraints, field_validator, model_validator

from evals.expect import Expect, ExpectedAnswer, ExpectedCall, Value

__all__ = [
    "Case",
    "Expect",
    "ExpectedAnswer",
    "ExpectedCall",
    "KnownDefect",
    "ReplayScript",
    "Tool",
]

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
PASSED_ON = ("top_p", "parallel_tool_calls", "stop", "response_format", "chat_template_kwargs")
"""Keys of a case that stand in its request under the same name, where they are set."""
_OTHER_SPELLINGS = {
    "functionDeclarations": "Gemini",
    "function_declarations": "Gemini",
    "toolSpec": "Bedrock",
    "custom": "OpenAI's custom tools, which have no JSON arguments",
}
ToolChoice = Literal["auto", "none", "required"]


class Tool(Value):
    """An available tool. `parameters` is a JSON Schema of type object; none means no parameters."""

    name: str = Field(min_length=1)
    """Its name, which the model must write to the letter."""
    description: str = ""
    """What the model is told about it."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """A JSON Schema of type object."""
    strict: bool | None = None
    """OpenAI's `strict`, passed on: calls must then satisfy the schema."""
    result: str = Field(default="ok", description="What the tool returns in the agent lane.")

    @model_validator(mode="before")
    @classmethod
    def _a_function(cls, value: Any) -> Any:
        """What other makers list beside functions, or spell quite otherwise, gets its sentence."""
        if not isinstance(value, dict) or "name" in value:
            return value
        if other := next((key for key in _OTHER_SPELLINGS if key in value), None):
            raise ValueError(
                f"a tool in the form of {_OTHER_SPELLINGS[other]} (`{other}`); write what is in it "
                "as {name: …, description: …, parameters: …}"
            )
        if isinstance(value.get("type"), str):
            raise ValueError(
                f"a tool of type {value['type']!r} is not a function; only functions are asked: "
                "{name: …, description: …, parameters: …}"
            )
        return value


_VERSIONS = "give a package and its versions, such as 'mlx-lm >=0.32.0,<0.33'"


class KnownDefect(Value):
    """A defect that makes this case fail under a profile, with the public link that tells of it."""

    profiles: tuple[str, ...]
    """Profiles in which it shows."""
    reason: str
    """What is wrong, in one sentence."""
    link: str | None = Field(default=None, pattern=r"^https://")
    """The public page that tells of it."""
    lanes: tuple[str, ...] = ()
    """Lanes in which it shows; empty means all."""
    hurts: str | None = Field(default=None, description="Who is hurt by it, and how.")
    no_answer: bool = Field(
        default=False, description="The server gives no whole answer: then this is not an error."
    )
    versions: str | None = None
    """Package and versions (PEP 440) that have it, such as `mlx-lm >=0.32.0,<0.33`; else all."""

    @field_validator("versions")
    @classmethod
    def _a_package_in_versions(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                read = Requirement(value)
            except InvalidRequirement as error:
                raise ValueError(f"versions: {_VERSIONS}; {error}") from error
            if not read.specifier or read.extras or read.marker or read.url:
                raise ValueError(f"versions: {_VERSIONS}")
        return value

    def in_versions(self, packages: Mapping[str, str]) -> bool:
        """Whether the versions that answered have it; a version that nobody knows may."""
        if self.versions is None:
            return True
        wanted = Requirement(self.versions)
        version = packages.get(canonicalize_name(wanted.name))
        return version is None or wanted.specifier.contains(version, prereleases=True)


class ReplayScript(Value):
    """What the replay model writes in answer to a case: a text, or token ids exactly."""

    text: str | None = None
    """The text that is written."""
    ids: tuple[int, ...] | None = None
    """In place of a text, the ids of its tokens."""
    delay: float = Field(default=0.0, ge=0.0, description="Seconds before each token.")
    fail_at: int | None = Field(default=None, ge=0, description="Raise in place of this token.")

    @model_validator(mode="after")
    def _one_form(self) -> "ReplayScript":
        if (self.text is None) == (self.ids is None):
            raise ValueError("a replay script needs exactly one of text and ids")
        return self


class Case(Value):
    """One question. `path` and `line` say where it stands; `node` is its name in reports."""

    id: Identifier
    path: str
    line: int
    category: str
    messages: tuple[dict[str, Any], ...] = Field(min_length=1)
    tools: tuple[Tool, ...] = ()
    expect: Expect
    replay: ReplayScript | None = None
    tool_choice: ToolChoice | dict[str, Any] = "auto"
    max_tokens: int = Field(default=256, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    parallel_tool_calls: bool | None = None
    stop: tuple[str, ...] = ()
    response_format: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    extra_body: dict[str, Any] | None = None
    repeat: int = Field(default=1, ge=1)
    tags: tuple[Identifier, ...] = ()
    tier: Literal["smoke", "full"] = "full"
    critical: bool = False
    link: str | None = Field(default=None, pattern=r"^https://")
    known_defects: tuple[KnownDefect, ...] = ()
    profiles: tuple[str, ...] = ()
    """The only profiles that ask it; empty means all."""

    @property
    def node(self) -> str:
        """`cases/zero_param/todo.yaml::todoread-pending`: the same as pytest's node id."""
        return f"{self.path}::{self.id}"

    @property
    def request_keys(self) -> dict[str, Any]:
        """Keys of the request beyond its usual ones, as the case sets them; `extra_body` last."""
        keys = {name: getattr(self, name) for name in PASSED_ON}
        given = {name: value for name, value in keys.items() if value is not None and value != ()}
        if self.stop:
            given["stop"] = list(self.stop)
        return {**given, **(self.extra_body or {})}

    @property
    def question(self) -> str:
        """The last thing the user said."""
        users = [m.get("content") for m in self.messages if m.get("role") == "user"]
        return str(users[-1] or "") if users else ""

    @property
    def told(self) -> str:
        """All that the model was told in words: by the system, the user and the tools."""
        parts = [m.get("content") for m in self.messages if m.get("role") != "assistant"]
        return "\n".join(str(part) for part in parts if part)

    def tool(self, name: str) -> Tool | None:
        """The available tool with exactly this name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def defect(
        self, profile: str, lane: str, packages: Mapping[str, str] | None = None
    ) -> KnownDefect | None:
        """The known defect that applies to this profile and lane, if any.

        `packages` are the versions that answered, as far as they are known.
        """
        for defect in self.known_defects:
            here = profile in defect.profiles and (not defect.lanes or lane in defect.lanes)
            if here and defect.in_versions(packages or {}):
                return defect
        return None

    @property
    def told_apart_by(self) -> frozenset[str]:
        """The packages whose versions decide whether a known defect applies."""
        named = (defect.versions for defect in self.known_defects if defect.versions)
        return frozenset(canonicalize_name(Requirement(text).name) for text in named)
