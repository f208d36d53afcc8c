"""How a right answer came to match: what a passed verdict says where there was a choice."""

from evals.case import Case
from evals.judging import answers
from evals.judging.checks import Said, answers_wanted, match_expected

_LISTED = 6


def how_chosen(case: Case, said: Said) -> str:
    """Which of a call and an answer came, where both are right."""
    if case.expect.needs_call or case.expect.needs_answer:
        return ""
    return f"a call or an answer is right; {'a call' if said.calls else 'an answer'} came"


def how_answered(case: Case, said: Said) -> str:
    """Which text, pattern or spelling the answer has."""
    right = (each for each in answers_wanted(case, said) if not answers.problem(each, said.text))
    return next((answers.how(each, said.text) for each in right), "")


def how_named(case: Case, said: Said) -> str:
    """Which calls were let pass beside those expected."""
    allowed = [said.calls[i].name for i in match_expected(case, said).allowed]
    return f"also called, which is allowed: {', '.join(allowed)}" if allowed else ""


def how_matched(case: Case, said: Said) -> str:
    """Which arguments were taken by a matcher or by a default, and by which."""
    notes = [
        f"{leaf.path} by {leaf.by or leaf.how}"
        for call in match_expected(case, said).calls
        for leaf in call.arguments.leaves
        if leaf.how in ("matcher", "default")
    ]
    more = f", and {len(notes) - _LISTED} more" if len(notes) > _LISTED else ""
    return ", ".join(notes[:_LISTED]) + more
