"""MiniMax M2: a section of calls as elements with names, `<invoke name="f">`."""

from evals.formats.call_format import CallFormat, Opening
from evals.formats.invoke_xml import InvokeTags

_TAGS = InvokeTags("minimax", "invoke", "parameter", section="minimax:tool_call")

MINIMAX = CallFormat(
    _TAGS.format,
    doc='`<minimax:tool_call><invoke name="f"><parameter name="x">1</parameter></invoke>'
    "</minimax:tool_call>`",
    openings=(Opening(_TAGS.open, _TAGS.read),),
    markup=_TAGS.markup,
    parsers=("minimax_m2",),
)
