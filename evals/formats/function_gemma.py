"""FunctionGemma: as Gemma 4 writes calls, with other tags and `<escape>` around text."""

from evals.formats.call_format import CallFormat, Opening
from evals.formats.gemma import BareKeyTags

_TAGS = BareKeyTags(
    "function-gemma", "<start_function_call>", "<end_function_call>", text="<escape>"
)

FUNCTION_GEMMA = CallFormat(
    _TAGS.format,
    doc="`<start_function_call>call:f{x:1,y:<escape>text<escape>}<end_function_call>`",
    openings=(Opening(_TAGS.open, _TAGS.read),),
    markup=(_TAGS.open, _TAGS.close, _TAGS.text),
    parsers=("function_gemma",),
)
