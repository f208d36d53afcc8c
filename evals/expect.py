"""What a case expects: calls, a plain-text answer, either of both, or what must not be called."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, FiniteFloat, Tag, model_validator

from evals.described import Described


class Value(Described):
    """A frozen value that takes no unknown key; what stands below a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedCall(Value):
    """A call that is expected. Argument values may be matchers such as `$any_of`."""

    name: str
    """Name of an available tool."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """All of its arguments, as values or matchers; one more or one less fails."""


class ExpectedAnswer(Value):
    """What a plain-text answer must satisfy, beyond not being empty."""

    contains: tuple[str, ...] = ()
    """Each must occur in the answer; letter case, kinds of quotation marks and hyphens, and white
    space do not count."""
    not_contains: tuple[str, ...] = ()
    """None may occur in the answer, compared as `contains` is."""
    any_of: tuple[str, ...] | None = Field(default=None, min_length=1)
    """At least one must occur in the answer, compared as `contains` is."""
    regex: str | None = None
    """A pattern that must be found in the answer; `(?i)` in front ignores letter case."""
    numbers: tuple[FiniteFloat | int, ...] = ()
    """Each must occur as a number of its own: `1840`, `1,840` and `1840.0` are 1840; 18401 is not.
    English words such as `forty-two` count; `minus five`, `2 million`, `10K`, `2½` and `12,5`
    (12.5) are read as a whole. Digits that may be one number or a list, as `101,102,103`, are that
    list only where all of it is expected."""


class Alternative(Value):
    """One way of being right: calls, a plain-text answer, or calls with text beside them."""

    call: ExpectedCall | None = None
    """One call."""
    calls: tuple[ExpectedCall, ...] | None = Field(default=None, min_length=1)
    """Several calls."""
    answer: ExpectedAnswer | None = None
    """A plain-text answer; beside a call, the text that comes with it."""

    @model_validator(mode="after")
    def _one_form(self) -> "Alternative":
        if (self.call and self.calls) or not (self.call or self.calls or self.answer):
            raise ValueError("an alternative is call or calls, answer, or a call with an answer")
        return self

    @property
    def wanted(self) -> tuple[ExpectedCall, ...]:
        """The calls; none for a plain-text answer."""
        return self.calls or ((self.call,) if self.call else ())


def _form_of(value: Any) -> str:
    return "calls" if isinstance(value, list | tuple) else "alternative"


_OneOf = Annotated[
    Annotated[tuple[ExpectedCall, ...], Tag("calls")] | Annotated[Alternative, Tag("alternative")],
    Discriminator(_form_of),
]
_FORMS = ("call", "calls", "any_of", "some_call")


class Expect(Value):
    """What is right: a call, calls, one of several alternatives, an answer, or some call."""

    call: ExpectedCall | None = None
    """One call, and no other; with `answer` beside it, also this text."""
    calls: tuple[ExpectedCall, ...] | None = None
    """These calls, and no other; with `answer` beside it, also this text."""
    any_of: tuple[_OneOf, ...] | None = None
    """One of these: each a list of calls, or a mapping with call or calls, answer, or both."""
    some_call: Literal[True] | None = None
    """`true`: some call, whichever; its arguments must satisfy the tool's schema."""
    answer: ExpectedAnswer | None = None
    """A plain-text answer and no call; `{}` where any text will do."""
    not_call: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Tools that must not be called. Alone, everything else is right."""
    order: Literal["any", "given"] = "any"
    """Whether several calls must come in the order given."""
    extra: bool = False
    """Whether other calls of available tools may come beside those expected."""

    @model_validator(mode="after")
    def _one_form(self) -> "Expect":
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) > 1 or not (given or self.answer or self.not_call):
            raise ValueError(
                "expect needs exactly one of call, calls, any_of, some_call, answer, not_call; "
                f"it has {', '.join(given) or 'none'}. An answer may stand beside call or calls, "
                "and not_call beside any of them"
            )
        if self.answer and given and given[0] in ("any_of", "some_call"):
            raise ValueError(
                f"expect.answer does not go beside {given[0]}; write it into an alternative of "
                "any_of: [{answer: …}, {call: …, answer: …}]"
            )
        if self.calls == () or self.any_of == () or any(each == () for each in self.any_of or ()):
            raise ValueError("expect.calls and each of expect.any_of need at least one call")
        if (self.extra or self.order == "given") and not self.alternatives:
            key = "extra" if self.extra else "order"
            raise ValueError(f"expect.{key} needs calls that are expected; remove it")
        return self

    @cached_property
    def ways(self) -> tuple[Alternative, ...]:
        """All alternatives in one form; empty where some call, or all but `not_call`, is right."""
        return tuple(self._ways())

    def _ways(self) -> Iterator[Alternative]:
        if self.call or self.calls or self.answer:
            yield Alternative(call=self.call, calls=self.calls, answer=self.answer)
        for each in self.any_of or ():
            yield each if isinstance(each, Alternative) else Alternative(calls=each)

    @cached_property
    def alternatives(self) -> tuple[tuple[ExpectedCall, ...], ...]:
        """The sets of calls of which one must come; empty where none is named."""
        return tuple(way.wanted for way in self.ways if way.wanted)

    @property
    def answers(self) -> tuple[ExpectedAnswer, ...]:
        """What a plain-text answer without a call may be; empty where a call must come."""
        if not self.ways and not self.some_call:
            return (ExpectedAnswer(),)
        return tuple(way.answer for way in self.ways if way.answer and not way.wanted)

    @property
    def needs_call(self) -> bool:
        """Whether a call must come."""
        return not self.answers

    @property
    def needs_answer(self) -> bool:
        """Whether no call may come."""
        return bool(self.ways) and not self.alternatives

    @property
    def allows_others(self) -> bool:
        """Whether calls beside those named are right, too."""
        return self.extra or not self.ways
