"""Special tokens and role tags of any family: what no answer has, whoever the model is.

They are the control text of chat templates and of tool results. A server that passes them on, or a
model that writes them into its words, shows the user what was never meant to be seen.
"""

SPECIAL = (
    r"<\|[A-Za-z_][\w:-]{0,40}\|?>",  # <|im_end|>, <|eot_id|>, <|channel|>, <|tool_call>
    r"<[A-Za-z_][\w:-]{0,40}\|>",  # <tool_call|>, <channel|>
    r"<｜[^｜<>\n]{1,40}｜(?:>|[^<>\n]{1,60}>)|</｜[^｜<>\n]{1,40}｜[^<>\n]{1,60}>",  # DeepSeek
    r"<(?:start|end)_of_(?:turn|utterance|image)>",
    r"</?(?:start|end)_function_(?:call|response|declaration)>",
    r"<(?:bos|eos|pad|unk|unused\d+)>",
    r"\[/?(?:INST|THINK|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS?|TOOL_CALLS?|TOOL_CONTENT)\]",
    r"\[(?:ARGS|CALL_ID|END_TOOL_REQUEST|TOOL_REQUEST)\]",
    r"\[gMASK\]|<[se]op>|<extra_id_\d+>",
    r"<</?SYS>>",
    r"</?(?:thinking|scratch_?pad|tool_use|tool_code)>",
    r"</?(?:tool_response|tool_responses|tool_result|tool_results|tool_calls|function_calls)>",
    r"</?(?:function_results|function-call|function_call|functioncall|tools|TOOLCALL)>",
    r"</?(?:longcat|minimax|atem|seed|antml)[:_][\w:]{1,40}>",
    r"(?<=[\s.!?])</s>|\A\s*<s>(?!.*</s>)",  # elsewhere it is struck-out text of HTML
)
"""Patterns, each of a way in which families write such tokens."""

TURN_TOKENS = (
    r"<\|(?:im_start|im_end|eot_id|eom_id|end_of_text|endoftext|end|return|begin_of_text)\|>",
    r"<｜(?:begin|end)▁of▁sentence｜>",
    r"<(?:start|end)_of_turn>|<(?:bos|eos|pad)>|</s>",
)
"""Patterns of those that begin and end a text or a turn, which servers leave out of it."""
