"""Text for reasons: in one line, and so that what differs also looks different."""

import unicodedata
from collections.abc import Iterator

_LETTERS = str.maketrans(
    "АВЕЅZІЈКМНОРСТХУаеіјорсухѕԁһѵԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανιρτυχ‐‑‒–—−‘’ʼ′“”ıɡ",
    "ABESZIJKMHOPCTXYaeijopcyxsdhvqwABEZHIKMNOPTYXoavipTuX------''''\"\"ig",
)
"""Letters and marks of other scripts that look like those of ASCII."""


def one_line(text: str, limit: int = 160) -> str:
    """A text as it is, but without line breaks and unseen characters, cut where it is long."""
    return cut("".join(_seen(text)), limit)


def cut(text: str, limit: int = 160) -> str:
    """The beginning of a text that is long."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def apart(one: str, other: str) -> tuple[str, str]:
    """Two texts that differ, as JSON text or plain, such that a reader can tell them apart.

    Unseen characters are escapes. Where the two look alike, all that is not ASCII is: another
    script's letters, and accents that are composed in one and not in the other.
    """
    if one != other and _skeleton(one) == _skeleton(other):
        return _escaped(one), _escaped(other)
    return "".join(_seen(one)), "".join(_seen(other))


def _skeleton(text: str) -> str:
    """What a text looks like."""
    shown = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return "".join(shown).translate(_LETTERS)


def _seen(text: str) -> Iterator[str]:
    """The text's characters, with escapes for those that cannot be seen for what they are."""
    for character in text:
        category = unicodedata.category(character)
        hidden = category in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") or (
            category == "Zs" and character != " "
        )
        yield _escape(character) if hidden else character


def _escaped(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    r"""As JSON escapes it: `\n`, `\u00a0`, two halves beyond U+FFFF."""
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short:
        return short
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
