"""Muse Spark: a section of calls as elements with names, all in the namespace `atem`."""

from evals.formats.call_format import CallFormat, Opening
from evals.formats.invoke_xml import InvokeTags

_TAGS = InvokeTags("muse-spark", "atem:invoke", "atem:parameter", section="atem:function_calls")

MUSE_SPARK = CallFormat(
    _TAGS.format,
    doc='`<atem:function_calls><atem:invoke name="f"><atem:parameter name="x">1</atem:parameter>'
    "</atem:invoke></atem:function_calls>`",
    openings=(Opening(_TAGS.open, _TAGS.read),),
    markup=_TAGS.markup,
    frame=(r"(?:<\|eom\|>)?(?:<\|start\|>assistant )?\bto=[\w.-]+<\|message\|>",),
    parsers=("muse_spark",),
)
