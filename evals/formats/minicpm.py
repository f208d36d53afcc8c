"""MiniCPM5: calls as elements with names and no wrapper; values with `<` stand in CDATA."""

from evals.formats.call_format import CallFormat, Opening
from evals.formats.invoke_xml import InvokeTags

_TAGS = InvokeTags("minicpm", "function", "param", cdata=True)

MINICPM = CallFormat(
    _TAGS.format,
    doc='`<function name="f"><param name="x">1</param></function>`',
    openings=(Opening(_TAGS.open, _TAGS.read),),
    markup=_TAGS.markup,
    parsers=("minicpm5",),
)
