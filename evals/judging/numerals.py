"""The numbers that a text says, in digits and in English words."""

import re
import unicodedata
from collections.abc import Collection, Iterator
from fractions import Fraction
from math import prod

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
    "trillion": 1_000_000_000_000,
}
_SHORT = {"k": 1000, "K": 1000, "M": 1_000_000, "bn": 1_000_000_000}
"""Scales directly behind digits: `10k`. A small `m` may be metres or minutes."""
_OF_MONEY = {
    **_SHORT,
    **dict.fromkeys(("m", "mn", "MM"), 1_000_000),
    **dict.fromkeys(("b", "B"), 1_000_000_000),
    **dict.fromkeys(("t", "tn", "T"), 1_000_000_000_000),
}
"""Those of a sum of money: what follows `$5` is no unit."""
_ELSEWHERE = {
    **dict.fromkeys(("lakh", "lakhs"), 100_000),
    **dict.fromkeys(("Mio", "Millionen"), 1_000_000),
    **dict.fromkeys(("crore", "crores"), 10_000_000),
    **dict.fromkeys(("Mrd", "Milliarden", "milliard", "milliards"), 1_000_000_000),
}
"""Scales behind digits in India, German and French, as far as these are not those above."""
_PARTS = {"half": Fraction(1, 2), "quarter": Fraction(1, 4)}
_THOUSANDS = ("thousand", "million", "billion", "trillion")
_LONGEST = 40
_MOST_WORDS = 30
_MOST_EXPONENT = 3

_SPACES = " \u00a0\u202f\u2009"
_GAP = "[ \t\u00a0\u202f\u2009]{1,4}"
_HYPHENS = str.maketrans(dict.fromkeys("‐‑﹣－", "-"))
_EMPHASIS = re.compile(r"(?<![\w*`])(\*{1,3}|_{1,3}|`)([^\s*_`][^\n*_`]{0,60})\1(?![\w*`])")
"""Markdown's: `**5** million` is five million."""
_SET = re.compile(r"(?<=\d)(?:\{,\}|\\,)(?=\d)|<sup>([-−+]?\d+)</sup>")
"""How LaTeX and HTML set numbers: `1{,}840`, `10<sup>8</sup>`."""
_CURRENCY = "$€£¥₹₩₽"
_MONEY = f"(?:[A-Z]{{0,2}}[{_CURRENCY}])?"  # US$ and R$, too
_FRACTION = "[¼-¾⅐-⅞]"
_WITH_A_BAR = (
    "(?:1[/⁄]2|[12][/⁄]3|[13][/⁄]4|[1-4][/⁄]5|[15][/⁄]6|[1357][/⁄]8|(?:[13579]|1[135])[/⁄]16)"
    r"(?![\w/⁄])"
)
_AND = f"(?:[{_SPACES}]|{_GAP}and{_GAP})"
_TIMES = rf"[{_SPACES}]?(?:[×x*·⋅]|\\times|\\cdot|times)[{_SPACES}]?10"
_RAISED = r"(?:\^|\*\*)\{?(?P<raised>[-−+]?\d+)\}?|(?P<small>[⁺⁻]?[⁰¹²³⁴-⁹]+)"
# A dash is a sign where a number may begin, and not within a range such as 10%-12%.
_SIGN = (
    rf"(?<![^\s(\[{{\"“„‘‚«‹'*_`=:<>~≈≠≤≥→|/,;…\\（：，。、「{_CURRENCY}])"
    rf"(?<!\d[{_CURRENCY}])(?<!\d[{_SPACES}][{_CURRENCY}])(?<!\+/)[-−–]{_MONEY}"
)
_DIGITS = re.compile(
    rf"(?<![\w.])(?:{_SIGN}|(?<!\d,))(?P<body>"
    rf"[1-9]\d{{0,2}}([{_SPACES}])\d{{3}}(?:\2\d{{3}})*(?!\d)(?![.,'’_]\d{{3}})(?:[.,]\d+)?"
    r"|(?:\d+|\.\d+)(?:[.,]\d+|['’_]\d{3}(?!\d))*"
    rf"|(?={_FRACTION})"
    rf")(?:{_AND}?(?P<fraction>{_FRACTION})|(?<=\d)(?:{_AND}|-)(?P<bar>{_WITH_A_BAR}))?"
    rf"(?P<power>[eE](?P<exponent>[-+]?\d+)"
    rf"|(?:{_TIMES}|(?P<ten>(?<=(?<![\d.,'’_])10)))(?:{_RAISED}))?"
)
_PLAIN = re.compile(
    r"\d*(?:\.\d+)?"
    rf"|[1-9]\d{{0,2}}([,'’_{_SPACES}])\d{{3}}(?:\1\d{{3}})*(?:\.\d+)?"
    r"|[1-9]\d?(?:,\d\d)+,\d{3}(?:\.\d+)?"  # as in India: 12,34,567
)
_COMMA = re.compile(
    r"\d+,\d+"
    rf"|[1-9]\d{{0,2}}([.'’{_SPACES}])\d{{3}}(?:\1\d{{3}})*,\d+"
    r"|[1-9]\d{0,2}(?:\.\d{3}){2,}"
)
_ITEM = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?")
_GROUP = re.compile(r"\d{3}(?:\.\d+)?")

_NAMES = "|".join([*_WORDS, *_SCALES])
_LARGE = "|".join(_SCALES)
_FRACTIONS = "third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth|millionth"
# One thousand, eight hundred and forty; what begins behind the comma says its scale, too.
_COMMA_BETWEEN = (
    rf"(?:(?:(?<=thousand)|(?<=illion)),"
    rf"(?={_GAP}(?:{_NAMES})(?:(?:{_GAP}|-)(?:{_NAMES}))?{_GAP}(?:hundred|thousand)\b))"
)
_SPELLED = re.compile(
    rf"(?<!quarter of )(?<!third of )(?<!\bno[ -])\b(?>(?P<half>half{_GAP})?"
    rf"(?:an?{_GAP}(?=(?:{_LARGE})\b))?(?:{_NAMES})\b"
    rf"(?:(?:{_COMMA_BETWEEN}?{_GAP}(?:and{_GAP})?|-)(?:{_NAMES})\b){{0,{_MOST_WORDS}}})"
    rf"(?!-(?:first|half|halves|quarters?)\b)(?!(?<=ty)-second\b)"
    rf"(?!(?:{_GAP}|-)(?:{_FRACTIONS})s?\b)(?!{_GAP}(?:half|halves|quarters?){_GAP}of\b)",
    re.IGNORECASE,
)
_AND_A_PART = rf"(?:{_GAP}|-)and(?:{_GAP}|-)an?(?:{_GAP}|-)(?P<part>half|quarter)\b"
_SCALED = rf"(?P<scales>(?:(?:{_GAP}|-)?(?:{_LARGE})s?\b)+)"
_FOREIGN = rf"{_GAP}(?P<foreign>{'|'.join(_ELSEWHERE)})\b"
_AFTER_DIGITS = re.compile(
    rf"(?i:{_AND_A_PART})?(?:(?i:{_SCALED})|(?P<short>{'|'.join(_SHORT)}|{_GAP}bn)\b|{_FOREIGN})?"
)
_AFTER_MONEY = re.compile(
    rf"(?i:{_AND_A_PART})?(?:(?i:{_SCALED})|(?P<short>(?:{_GAP})?(?:{'|'.join(_OF_MONEY)}))\b"
    rf"|{_FOREIGN})?"
)
_POINT = (
    rf"(?:{_GAP}|-)point(?P<point>(?:(?:{_GAP}|-)(?:{'|'.join(_SMALL[:10])})\b){{1,{_MOST_WORDS}}})"
)
_AFTER_WORDS = re.compile(rf"(?:(?:{_AND_A_PART}|{_POINT}){_SCALED}?)?", re.IGNORECASE)

_OF_DEGREES = r"\(?(?:Celsius|Fahrenheit|centigrade|[CF])\b\)?"
_BELOW_ZERO = re.compile(
    rf"(?:(?:{_GAP})?(?:°[ ]?[CF]?|[℃℉]|deg(?:rees?|\.)?(?:{_GAP}{_OF_DEGREES})?))?"
    rf"{_GAP}(?:below|under){_GAP}(?:zero|0)\b(?![.,]\d)",
    re.IGNORECASE,
)
_MINUS = re.compile(
    rf"(?<!plus or )(?<!plus/)(?<!plus-)\b(?P<word>minus|negative)\s+{_MONEY}$"
    rf"|(?P<sign>−)[{_SPACES}]{_MONEY}$",
    re.IGNORECASE,
)
_TAKEN_FROM = re.compile(
    rf"(?:\d|\b(?:{_NAMES}))[%°)]*(?:[{_SPACES}]?[{_CURRENCY}])?[^\W\d]{{0,3}}"
    rf"(?:{_GAP}(?!(?:or|and|to|is|are|was|at|by|plus|times|equals|than|from)\b)[^\W\d]+)?{_GAP}$",
    re.IGNORECASE,
)
_LOOKED_BACK = 40


def numbers_in(text: str, wanted: Collection[Fraction] = ()) -> Iterator[tuple[str, Fraction]]:
    """The numbers of a text as they are written and what they are: `1,840`, `forty-two`.

    Digits with commas are one number where they may be: in groups of three, or with one comma that
    then is a decimal one; a point is one always, but for `1.840.000` and `1.840,50`. Where they may
    be a list as well (`101,102,103`, `12,5`), its items count only if all of them are `wanted`, so
    that no part of a number passes for another. What precedes or follows belongs to the number:
    `minus five`, `5° below zero`, `2 million`, `$5m`, `two and a half`, `2½`, `3 × 10⁸`. Versions,
    addresses, ordinals and fractions in words are none. Emphasis and kinds of hyphens are no part
    of what is said.
    """
    text = _EMPHASIS.sub(r"\2", _SET.sub(_unset, text.translate(_HYPHENS)))
    taken = set[int]()
    for found in _DIGITS.finditer(text):
        shown, readings = found.group(), list[tuple[str, Fraction]]()
        money = found.start("body") and text[found.start("body") - 1] in _CURRENCY
        after = (_AFTER_MONEY if money else _AFTER_DIGITS).match(text, found.end())
        assert after is not None
        if found.start() in taken:  # the 0 of 5 below 0
            continue
        taken |= _places(text, after)
        if len(shown) <= _LONGEST and len(_exponent(found).strip("+-")) <= _MOST_EXPONENT:
            readings = list(_readings(found, after, wanted))
        yield from (_signed(text, found.start(), after.end(), *each) for each in readings)
    for words in _SPELLED.finditer(text):
        # The million of 2 million, five in three point five and the zero of five below zero are no
        # numbers of their own.
        if words.start() not in taken:
            tail = _AFTER_WORDS.match(text, words.end())
            assert tail is not None
            taken |= _places(text, tail)
            for at, each in _spelled_readings(words, tail, wanted):
                yield _signed(text, at, at + len(each[0]), *each)


def _unset(found: re.Match[str]) -> str:
    """What LaTeX or HTML means by what it has within a number."""
    if found[1]:
        return f"^{found[1]}"
    return "," if "{" in found.group() else "\u2009"


def _places(text: str, after: re.Match[str]) -> set[int]:
    """Where what follows a number stands that belongs to it."""
    below = _BELOW_ZERO.match(text, after.end())
    return {*range(after.start(), (below or after).end())}


def _readings(
    found: re.Match[str], after: re.Match[str], wanted: Collection[Fraction]
) -> Iterator[tuple[str, Fraction]]:
    """What digits may be: one number, several, or both."""
    body, power = found["body"], found["power"]
    sign = -1 if re.match("[-−–]", found.group()) else 1
    value, fraction = _one(body or "0"), found["fraction"] or found["bar"]
    if found["ten"] is not None:
        value = Fraction(1)
    if value is not None:
        scaled = sign * (value + _fraction(fraction)) * Fraction(f"1e{_exponent(found) or 0}")
        yield found.group() + after.group(), _enlarged(scaled, after)
    if fraction or power or after.group():
        return
    parts = re.split(f"[,{_SPACES}]", body)
    if len(parts) < 2 or not all(_ITEM.fullmatch(part) for part in parts):
        return
    items = [sign * Fraction(parts[0]), *map(Fraction, parts[1:])]
    listed = value is None and not any(_GROUP.fullmatch(part) for part in parts[1:])
    if listed or all(item in wanted for item in items):
        yield from zip(parts, items, strict=True)


def _one(body: str) -> Fraction | None:
    """Digits as one number; None for a list, a version or an address."""
    if _PLAIN.fullmatch(body):
        return Fraction(re.sub(r"[^\d.]", "", body))
    if _COMMA.fullmatch(body):
        return Fraction(re.sub(r"[^\d,]", "", body).replace(",", "."))
    return None


def _exponent(found: re.Match[str]) -> str:
    """The digits, with their sign, to which 10 is raised; empty where it is not."""
    digits = found["exponent"] or found["raised"] or found["small"] or ""
    return unicodedata.normalize("NFKC", digits).replace("−", "-")


def _fraction(written: str | None) -> Fraction:
    """What `½` or `1/2` is; 0 of nothing."""
    if written is None:
        return Fraction(0)
    if len(written) > 1:
        return Fraction(written.replace("⁄", "/"))
    return Fraction(unicodedata.numeric(written)).limit_denominator(10)


def _enlarged(value: Fraction, after: re.Match[str]) -> Fraction:
    """A number with what follows it: `and a half`, `million`."""
    named = after.groupdict()
    part = _PARTS[named["part"].casefold()] if named["part"] else Fraction(0)
    scales = re.findall(_LARGE, (named["scales"] or "").casefold())
    scale = prod(_SCALES[name] for name in scales)
    scale *= _OF_MONEY.get((named.get("short") or "").strip(), 1)
    scale *= _ELSEWHERE.get(named.get("foreign") or "", 1)
    return (value - part if value < 0 else value + part) * scale


def _signed(text: str, start: int, end: int, shown: str, value: Fraction) -> tuple[str, Fraction]:
    """The number with `below zero` behind it or a `minus` before it, as far as these are its own.

    The one in `10 minus 5` takes it from another.
    """
    if value > 0 and (below := _BELOW_ZERO.match(text, end)):
        return shown + below.group(), -value
    from_ = max(0, start - _LOOKED_BACK)
    before = text[from_:start]
    minus = _MINUS.search(before)
    if minus is None or value < 0:
        return shown, value
    if (minus["word"] or "").casefold() != "negative" and _TAKEN_FROM.search(
        before[: minus.start()]
    ):
        return shown, value
    return minus.group() + shown, -value


def _spelled_readings(
    found: re.Match[str], after: re.Match[str], wanted: Collection[Fraction]
) -> Iterator[tuple[int, tuple[str, Fraction]]]:
    """The numbers of a row of words, each with its place in the text."""
    start = found.start()
    words = list(re.finditer(r"[a-z]+|,", found.group(), re.IGNORECASE))[bool(found["half"]) :]
    names = [word.group().casefold() for word in words]
    pieces = list(_pieces(names))
    listed = list(_pieces(names, apart=True)) if "," in names else []
    if all(value in wanted for _, _, value in listed):
        pieces += listed
    for first, end, value in pieces:
        number, rest = Fraction(value), ""
        if first == 0 and found["half"]:
            number /= 2
        if end == len(words):
            rest = after.group()
            digits = re.findall("[a-z]+", (after["point"] or "").casefold())
            point = "".join(str(_WORDS[name]) for name in digits)
            number = _enlarged(number + Fraction(f"0.{point or 0}"), after)
        place = 0 if first == 0 else words[first].start()
        yield start + place, (found.group()[place : words[end - 1].end()] + rest, number)


def _pieces(words: list[str], *, apart: bool = False) -> Iterator[tuple[int, int, int]]:
    """The numbers of a row of words, longest first: `five and six` are two; start, end, value.

    A comma parts them as `and` does; with `apart` always.
    """
    start = 0
    while start < len(words):
        ends = [j for j in range(start + 1, len(words)) if words[j] in ("and", ",")] + [len(words)]
        if apart and "," in words[start:]:
            ends = [j for j in ends if j <= words.index(",", start)]
        values = ((end, _spelled(words[start:end])) for end in reversed(ends))
        end, value = next(((e, v) for e, v in values if v is not None), (ends[0], None))
        if value is not None:
            yield start, end, value
        start = end + 1


def _spelled(words: list[str]) -> int | None:
    """`two hundred and five thousand` is 205000; None for a row of numbers such as `one two`."""
    total, below, group = 0, 10**15, list[str]()
    for word in (word for word in words if word != ","):
        if word not in _THOUSANDS:
            group.append(word)
            continue
        value = _group(group)
        if not value or _SCALES[word] >= below:
            return None
        total, below, group = total + value * _SCALES[word], _SCALES[word], []
    if not total:
        return _group(group)
    if not group:
        return total
    rest = _group(group[group[:1] == ["and"] :])
    return total + rest if rest else None


def _group(words: list[str]) -> int | None:
    """What may stand before `thousand`: `twelve hundred and five`, `two dozen`."""
    scale = next((word for word in words if word in ("hundred", "dozen")), None)
    if scale is None:
        return _tens(words)
    place = words.index(scale)
    count, rest = _tens(words[:place]), words[place + 1 :]
    more = _tens(rest[rest[:1] == ["and"] :]) if rest else 0
    if not count or more is None or (rest and (scale == "dozen" or not more)):
        return None
    return count * _SCALES[scale] + more


def _tens(words: list[str]) -> int | None:
    if words in (["a"], ["an"]):
        return 1
    values = [_WORDS.get(word, -1) for word in words]
    if len(values) == 2 and values[0] >= 20 and 0 < values[1] < 10:
        return sum(values)
    return values[0] if len(values) == 1 and values[0] >= 0 else None
