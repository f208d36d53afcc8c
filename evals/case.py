"""Cases: one question each, with the available tools and what is expected; from YAML, frozen."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
ToolChoice = Literal["auto", "none", "required"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tool(_Value):
    """An available tool. `parameters` is a JSON Schema of type object; none means no parameters."""

    name: str = Field(min_length=1)
    """Its name, which the model must write to the letter."""
    description: str = ""
    """What the model is told about it."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """A JSON Schema of type object."""
    result: str = Field(default="ok", description="What the tool returns in the agent lane.")


class ExpectedCall(_Value):
    """A call that is expected. Argument values may be matchers such as `$any_of`."""

    name: str
    """Name of an available tool."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """All of its arguments, as values or matchers; one more or one less fails."""


class ExpectedAnswer(_Value):
    """What a direct answer must satisfy, beyond being one: text without a call or markup."""

    contains: tuple[str, ...] = ()
    """Each must occur in the answer, letter case ignored."""
    not_contains: tuple[str, ...] = ()
    """None may occur in the answer, letter case ignored."""
    any_of: tuple[str, ...] = ()
    """At least one must occur in the answer, letter case ignored."""


class Expect(_Value):
    """Exactly one of: a call, calls, one of several alternatives, or an answer without a call."""

    call: ExpectedCall | None = None
    """One call, and no other."""
    calls: tuple[ExpectedCall, ...] | None = None
    """These calls, and no other."""
    any_of: tuple[tuple[ExpectedCall, ...], ...] | None = None
    """One of these sets of calls."""
    answer: ExpectedAnswer | None = None
    """Words and no call; `{}` where any words will do."""
    order: Literal["any", "given"] = "any"
    """Whether several calls must come in the order given."""

    @model_validator(mode="after")
    def _one_form(self) -> "Expect":
        given = [n for n in ("call", "calls", "any_of", "answer") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expect needs exactly one of call, calls, any_of, answer; it has {given or 'none'}"
            )
        if self.calls == () or self.any_of == () or any(not calls for calls in self.any_of or ()):
            raise ValueError("expect.calls and each of expect.any_of need at least one call")
        return self

    @property
    def alternatives(self) -> tuple[tuple[ExpectedCall, ...], ...]:
        """The sets of calls of which one must come; empty where an answer is expected."""
        if self.call is not None:
            return ((self.call,),)
        if self.calls is not None:
            return (self.calls,)
        return self.any_of or ()


class KnownDefect(_Value):
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


class ReplayScript(_Value):
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


class Case(_Value):
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

    def defect(self, profile: str, lane: str) -> KnownDefect | None:
        """The known defect that applies to this profile and lane, if any."""
        for defect in self.known_defects:
            if profile in defect.profiles and (not defect.lanes or lane in defect.lanes):
                return defect
        return None
