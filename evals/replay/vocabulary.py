"""The vocabularies of replay models: Qwen3's own, and its first ids alone.

A replayed text in Qwen3's vocabulary has the token borders that its users have. The cut one has the
same pre-tokenizer and merges as far as they go: its texts take more tokens, and everything that
costs time for each row of a vocabulary costs an eighteenth.
"""

from dataclasses import dataclass

END = "<|im_end|>"
ENDS = (END, "<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
"""Tokens that end an answer: llama.cpp takes each for an end, by its text."""
START = "<|im_start|>"
LEAD = "<|fim_prefix|>"
"""Stands before a script: what is before it cannot merge with the script's first token."""
PROMPT_END = "<|fim_middle|>"
"""Ends every prompt of the replay templates: what follows it is generated text."""

ADDED = (
    "<|endoftext|>",
    START,
    END,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    LEAD,
    PROMPT_END,
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
"""The tokens after those of the byte-pair encoding, in the order of their ids."""
_CONTROLS = 14
"""Qwen3 marks so many of them as special; those after them are shown when decoded."""


@dataclass(frozen=True)
class Vocabulary:
    """The first `kept` tokens of Qwen3's byte-pair encoding, then `ADDED`; `rows` of logits."""

    name: str
    kept: int
    rows: int

    def token_id(self, token: str) -> int:
        """The id of one of the added tokens: `<tool_call>` is 151657 in Qwen3's own."""
        return self.kept + ADDED.index(token)

    def added(self) -> list[tuple[int, str, bool]]:
        """Id, text, and whether it is special, of each added token."""
        return [(self.kept + i, token, i < _CONTROLS) for i, token in enumerate(ADDED)]


FULL = Vocabulary("full", 151643, 151936)
"""Qwen3's own; the rows above the last token are never used."""
CUT = Vocabulary("cut", 8192, 8192 + len(ADDED))
VOCABULARIES = (CUT, FULL)
