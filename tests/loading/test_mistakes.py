# ruff: noqa: E501
"""What each mistake of an author is answered with: at its line, what is wrong, what to do."""

import pytest

from evals.errors import CaseFileError
from evals.loading.casefile import KnownNames, find_case_files, read_cases

TOOLS = """\
get_weather:
  description: Weather of a city.
  parameters:
    type: object
    properties:
      city: {type: string}
      days: {type: integer, minimum: 1, maximum: 7}
      unit: {enum: [celsius, fahrenheit]}
      day: {type: string, format: date}
      tags: {type: array, items: {type: string}, maxItems: 2}
      filter: {type: object}
    required: [city]
get_cart: {}
"""
GOOD = """\
defaults: {tools: [get_weather, get_cart]}
cases:
  - id: weather
    ask: Weather in Oslo?
    expect: {call: {name: get_weather, arguments: {city: Oslo}}}
  - id: words
    ask: Hello
    expect: {answer: {contains: [hello]}}
  - id: turns
    messages:
      - {role: user, content: 'Cart?'}
      - role: assistant
        tool_calls: [{id: c1, type: function, function: {name: get_cart, arguments: "{}"}}]
      - {role: tool, tool_call_id: c1, content: empty}
      - {role: user, content: 'And in Oslo?'}
    expect: {call: {name: get_weather, arguments: {city: Oslo}}}
  - id: many
    vars: [{city: Oslo}, {city: Rome}]
    ask: "Weather in {{city}}?"
    expect: {call: {name: get_weather, arguments: {city: "{{city}}"}}}
"""
# what it is, what is replaced in GOOD, by what, and the messages without `cases/a.yaml:`
MISTAKES = [
    (
        "a key that does not exist",
        "ask: Hello",
        "question: Hello",
        [
            "7: cases[1].question: unknown key; did you mean ask? allowed here: system, tools, tools_from, tool_choice, "
            "parallel_tool_calls, max_tokens, temperature, top_p, stop, response_format, "
            "chat_template_kwargs, extra_body, repeat, tags, tier, critical, link, known_defects, "
            "profiles, id, vars, matrix, ask, messages, expect, replay"
        ],
    ),
    (
        "a key of the file that does not exist",
        "defaults:",
        "default:",
        [
            "1: default: unknown key; did you mean defaults? allowed here: category, defaults, cases",
            "5: weather: expect: 'get_weather' is not an available tool; tools of this case: none",
            "16: turns: expect: 'get_weather' is not an available tool; tools of this case: none",
            "20: many-oslo: expect: 'get_weather' is not an available tool; tools of this case: none",
            "20: many-rome: expect: 'get_weather' is not an available tool; tools of this case: none",
        ],
    ),
    (
        "a key of an expectation that does not exist",
        "{answer: {contains",
        "{answers: {contains",
        [
            "8: cases[1].expect.answers: unknown key; did you mean answer? allowed here: call, calls, "
            "any_of, some_call, answer, not_call, order, extra"
        ],
    ),
    (
        "a key of an answer that does not exist",
        "contains: [hello]",
        "contain: [hello]",
        [
            "8: cases[1].expect.answer.contain: unknown key; did you mean contains? allowed here: "
            "contains, not_contains, any_of, regex, numbers"
        ],
    ),
    (
        "a key of a call that does not exist",
        "name: get_weather, arguments: {city: Oslo}}}\n  - id: words",
        "name: get_weather, args: {city: Oslo}}}\n  - id: words",
        [
            "5: cases[0].expect.call.args: unknown key; did you mean arguments? allowed here: name, "
            "arguments"
        ],
    ),
    ("no question", "    ask: Hello\n", "", ["6: cases[1]: give exactly one of ask and messages"]),
    (
        "two questions",
        "    ask: Hello\n",
        "    ask: Hello\n    messages: [{role: user, content: Hi}]\n",
        ["6: cases[1]: give exactly one of ask and messages"],
    ),
    ("an empty question", "ask: Hello", "ask: ''", ["7: cases[1].ask: it must not be empty"]),
    (
        "no expectation",
        "    expect: {answer: {contains: [hello]}}\n",
        "",
        ["6: cases[1].expect: it is missing; add it"],
    ),
    (
        "an empty expectation",
        "{answer: {contains: [hello]}}",
        "{}",
        [
            "8: cases[1].expect: expect needs exactly one of call, calls, any_of, some_call, answer, "
            "not_call; it has none. An answer may stand beside call or calls, and not_call beside any "
            "of them"
        ],
    ),
    (
        "two expectations",
        "{answer: {contains: [hello]}}",
        "{call: {name: get_cart}, some_call: true}",
        [
            "8: cases[1].expect: expect needs exactly one of call, calls, any_of, some_call, answer, "
            "not_call; it has call, some_call. An answer may stand beside call or calls, and not_call "
            "beside any of them"
        ],
    ),
    (
        "an answer beside any_of",
        "{answer: {contains: [hello]}}",
        "{any_of: [[{name: get_cart}]], answer: {}}",
        [
            "8: cases[1].expect: expect.answer does not go beside any_of; write it into an alternative "
            "of any_of: [{answer: …}, {call: …, answer: …}]"
        ],
    ),
    (
        "an empty alternative",
        "{answer: {contains: [hello]}}",
        "{any_of: [[]]}",
        ["8: cases[1].expect: expect.calls and each of expect.any_of need at least one call"],
    ),
    (
        "an alternative of nothing",
        "{answer: {contains: [hello]}}",
        "{any_of: [{}]}",
        [
            "8: cases[1].expect.any_of[0]: an alternative is call or calls, answer, or a call with an "
            "answer"
        ],
    ),
    (
        "extra without a call",
        "{answer: {contains: [hello]}}",
        "{answer: {}, extra: true}",
        ["8: cases[1].expect: expect.extra needs calls that are expected; remove it"],
    ),
    (
        "an unknown order",
        "{answer: {contains: [hello]}}",
        "{call: {name: get_cart}, order: strict}",
        ["8: cases[1].expect.order: choose from any, given, not 'strict'"],
    ),
    (
        "not_call of an unknown tool",
        "{answer: {contains: [hello]}}",
        "{not_call: [get_car]}",
        [
            "8: words: expect: not_call: 'get_car' is not an available tool; tools of this case: "
            "get_weather, get_cart"
        ],
    ),
    (
        "expected and forbidden",
        "{answer: {contains: [hello]}}",
        "{call: {name: get_cart}, not_call: [get_cart]}",
        ["8: words: expect: 'get_cart' is expected and in not_call; remove one of the two"],
    ),
    (
        "some call without tools",
        "    ask: Hello\n    expect: {answer: {contains: [hello]}}",
        "    ask: Hello\n    tools: []\n    expect: {some_call: true}",
        ["9: words: expect: some_call: no tool is left to call; add one to tools"],
    ),
    (
        "an answer that contradicts itself",
        "[hello]}",
        "[hello], not_contains: [hell]}",
        ['8: words: expect: even its own perfect answer fails: "hell" is in: "hello"'],
    ),
    (
        "a text where a list is due",
        "contains: [hello]",
        "contains: hello",
        ["8: cases[1].expect.answer.contains: it must be a list, such as [a, b], not 'hello'"],
    ),
    (
        "a pattern that is none",
        "contains: [hello]",
        "regex: '(hello'",
        [
            "8: words: expect: answer: regex: '(hello' is not a regular expression: missing ) at position 6"
        ],
    ),
    (
        "a text that every answer has",
        "contains: [hello]",
        "any_of: [' ', hello]",
        ["8: words: expect: answer: any_of: an empty text is part of every answer; remove it"],
    ),
    (
        "a number where text is due",
        "contains: [hello]",
        "contains: [5]",
        ["8: cases[1].expect.answer.contains[0]: it must be text; put it in quotes, not 5"],
    ),
    (
        "text where a number is due",
        "contains: [hello]",
        "numbers: ['5']",
        ["8: cases[1].expect.answer.numbers[0]: it must be a number, not '5'"],
    ),
    (
        "an unknown tool in a call",
        "name: get_weather, arguments: {city: Oslo}}}\n  - id: words",
        "name: get_wether, arguments: {city: Oslo}}}\n  - id: words",
        [
            "5: weather: expect: 'get_wether' is not an available tool; tools of this case: "
            "get_weather, get_cart"
        ],
    ),
    (
        "an unknown tool",
        "ask: Hello",
        "ask: Hello\n    tools: [get_wether]",
        ["8: cases[1].tools[0]: there is no tool 'get_wether'; did you mean get_weather?"],
    ),
    (
        "an unknown tool, whose call is expected",
        "ask: Weather in Oslo?",
        "ask: Weather in Oslo?\n    tools: [get_wether]",
        ["5: cases[0].tools[0]: there is no tool 'get_wether'; did you mean get_weather?"],
    ),
    (
        "an unknown parameter",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, dayz: 1}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: it has no parameter 'dayz'; it has: city, days, unit, "
            "day, tags, filter"
        ],
    ),
    (
        "a value of the wrong type",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: 5}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $.city: \"5 is not "
            "of type 'string'\""
        ],
    ),
    (
        "a value beyond its bounds",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, days: 9}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $.days: \"9 is "
            'greater than the maximum of 7"'
        ],
    ),
    (
        "a value beside the enum",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, unit: kelvin}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $.unit: "
            "\"'kelvin' is not one of ['celsius', 'fahrenheit']\""
        ],
    ),
    (
        "a required argument left out",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {days: 2}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $: \"'city' is a "
            'required property"'
        ],
    ),
    (
        "a date that is none",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, day: tomorrow}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $.day: "
            "\"'tomorrow' is not a 'date'\""
        ],
    ),
    (
        "an unknown matcher",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: {$regx: Oslo}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $.city: unknown matcher $regx (choose from $any_of, "
            "$regex, $approx, $unordered, $contains, $optional, $ignore, $text, $partial, $literal); "
            "where $regx is a key of the value itself, write {$literal: {$regx: …}}"
        ],
    ),
    (
        "a key with $ that is the value's own",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, filter: {age: {$gt: 1}}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $.filter.age: unknown matcher $gt (choose from $any_of, "
            "$regex, $approx, $unordered, $contains, $optional, $ignore, $text, $partial, $literal); "
            "where $gt is a key of the value itself, write {$literal: {$gt: …}}"
        ],
    ),
    (
        "a matcher's pattern that is none",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: {$regex: '('}}}}\n  - id: words",
        ["5: weather: expect: get_weather: $.city: $regex: missing ) at position 1"],
    ),
    (
        "a matcher with an unknown option",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: {$text: Oslo, case: ignore}}}}\n  - id: words",
        ["5: weather: expect: get_weather: $.city: $text takes no 'case'"],
    ),
    (
        "$text that ignores something else",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: {$text: Oslo, ignore: accents}}}}\n  - id: words",
        ["5: weather: expect: get_weather: $.city: ignore takes case, space, or a list of both"],
    ),
    (
        "$optional in a list",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, tags: [{$optional: a}]}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $.tags[0]: $optional may only stand as the value of an "
            "argument"
        ],
    ),
    (
        "an empty $any_of",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: {$any_of: []}}}}\n  - id: words",
        ["5: weather: expect: get_weather: $.city: $any_of needs a list that is not empty"],
    ),
    (
        "an option that the schema forbids",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: {$any_of: [Oslo, 5]}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $.city: \"5 is not "
            "of type 'string'\""
        ],
    ),
    (
        "a pattern for a number",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, days: {$regex: '5'}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $.days: no value that the schema allows can match "
            '{"$regex": "5"}; the schema says {"type": "integer", "minimum": 1, "maximum": 7}: change '
            "one of the two"
        ],
    ),
    (
        "a number out of reach",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, days: {$approx: 20, abs: 2}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $.days: no value that the schema allows can match "
            '{"$approx": 20, "abs": 2}; the schema says {"type": "integer", "minimum": 1, "maximum": '
            "7}: change one of the two"
        ],
    ),
    (
        "a pattern that no enum value has",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, unit: {$regex: '^K'}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $.unit: no value that the schema allows can match "
            '{"$regex": "^K"}; the schema says {"enum": ["celsius", "fahrenheit"]}: change one of the '
            "two"
        ],
    ),
    (
        "too many items",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {city: Oslo, tags: {$unordered: [a, b, c]}}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: not what the tool's own schema allows: $.tags: \"['a', "
            "'b', 'c'] is too long\""
        ],
    ),
    (
        "$partial without a mapping",
        "arguments: {city: Oslo}}}\n  - id: words",
        "arguments: {$partial: city}}}\n  - id: words",
        [
            "5: weather: expect: get_weather: $: $partial needs a mapping with the arguments that "
            "matter"
        ],
    ),
    (
        "an id with other letters",
        "id: words",
        "id: Words!",
        [
            "6: cases[1].id: it may have lower-case letters, digits, - and _, and begins with a letter "
            "or digit, not 'Words!'"
        ],
    ),
    (
        "no id",
        "  - id: words\n    ask: Hello",
        "  - ask: Hello",
        ["6: cases[1].id: it is missing; add it"],
    ),
    (
        "an id twice",
        "id: words",
        "id: weather",
        ["6: id: 'weather' is taken by the case in line 3; choose another"],
    ),
    (
        "a number that YAML takes for a comment",
        "ask: Hello",
        "ask: Fix #5",
        [
            "7: cases[1].ask: YAML takes '#5' and what follows for a comment; put the text in "
            "quotes (a real comment has a space after #)"
        ],
    ),
    (
        "a tag that YAML takes for a comment",
        "ask: Hello",
        "ask: Post it in #general, please",
        [
            "7: cases[1].ask: YAML takes '#general,' and what follows for a comment; put the text in "
            "quotes (a real comment has a space after #)"
        ],
    ),
    (
        "a key twice",
        "    ask: Hello\n",
        "    ask: Hello\n    ask: Again\n",
        ["8: cases[1]: duplicate key 'ask'; remove one of the two"],
    ),
    (
        "a number in quotes",
        "ask: Hello",
        "ask: Hello\n    max_tokens: '5'",
        ["8: cases[1].max_tokens: it must be a whole number, not '5'"],
    ),
    (
        "a number that is too large",
        "ask: Hello",
        "ask: Hello\n    max_tokens: 16384",
        ["8: cases[1].max_tokens: it must be at most 8192, not 16384"],
    ),
    (
        "a temperature below zero",
        "ask: Hello",
        "ask: Hello\n    temperature: -1",
        ["8: cases[1].temperature: it must be at least 0.0, not -1"],
    ),
    (
        "an unknown tier",
        "ask: Hello",
        "ask: Hello\n    tier: quick",
        ["8: cases[1].tier: choose from smoke, full, not 'quick'"],
    ),
    (
        "an unknown tool_choice",
        "ask: Hello",
        "ask: Hello\n    tool_choice: always",
        ["8: cases[1].tool_choice: choose from auto, none, required, not 'always'"],
    ),
    (
        "tool_choice of an unknown tool",
        "ask: Hello",
        "ask: Hello\n    tool_choice: {type: function, function: {name: x}}",
        [
            "8: words: tool_choice: a mapping names a tool of the case: {type: function, function: "
            "{name: get_weather}}"
        ],
    ),
    (
        "repeats of one answer",
        "ask: Hello",
        "ask: Hello\n    repeat: 3",
        ["8: words: repeat: 3 answers at temperature 0 are one answer; set temperature"],
    ),
    (
        "an unknown profile",
        "ask: Hello",
        "ask: Hello\n    profiles: [defualt]",
        ["8: cases[1].profiles[0]: unknown profile 'defualt'; did you mean default?"],
    ),
    (
        "a link that is none",
        "ask: Hello",
        "ask: Hello\n    known_defects: [{profiles: [default], reason: x, link: 'javascript:1'}]",
        [
            "8: cases[1].known_defects[0].link: it must be a link that begins with https://, not "
            "'javascript:1'"
        ],
    ),
    (
        "a last call without its result",
        "      - {role: user, content: 'And in Oslo?'}\n",
        "      - role: assistant\n        tool_calls: [{id: c2, type: function, function: {name: get_cart}}]\n",
        [
            "15: cases[2].messages[3]: the last message is from user or tool, since the answer to it is what is judged; not from assistant",
            "10: cases[2].messages: the call 'c2' has no result; add {role: tool, tool_call_id: c2, …}",
        ],
    ),
    (
        "a call without its type",
        "{id: c1, type: function, function",
        "{id: c1, function",
        [
            "13: cases[2].messages[1].tool_calls[0]: a call needs type: function; it is {id: call_1, type: function, function: {name: …, arguments: '{…}'}}"
        ],
    ),
    (
        "a tool that is no function",
        "ask: Hello",
        "ask: Hello\n    tools: [{type: web_search}]",
        [
            "8: cases[1].tools[0]: a tool of type 'web_search' is not a function; only functions are asked: {name: …, description: …, parameters: …}"
        ],
    ),
    (
        "a tool in Gemini's spelling",
        "ask: Hello",
        "ask: Hello\n    tools: [{functionDeclarations: [{name: x}]}]",
        [
            "8: cases[1].tools[0]: a tool in the form of Gemini (`functionDeclarations`); write what is in it as {name: …, description: …, parameters: …}"
        ],
    ),
    (
        "a $ref that leads nowhere",
        "ask: Hello",
        "ask: Hello\n    tools: [{name: x, parameters: {properties: {a: {$ref: '#/$defs/a'}}}}]",
        ["8: cases[1].tools[0]: $ref '#/$defs/a' leads nowhere; write what it names below $defs"],
    ),
    (
        "a tool_choice that forbids what is expected",
        "{answer: {contains: [hello]}}",
        "{call: {name: get_cart}}\n    tool_choice: none",
        ["9: words: tool_choice: it is none, and expected is get_cart; change one of the two"],
    ),
    (
        "a tool_choice that wants what is not expected",
        "{answer: {contains: [hello]}}",
        "{answer: {contains: [hello]}}\n    tool_choice: required",
        [
            "9: words: tool_choice: it is required, and expected is an answer without a call; change one of the two"
        ],
    ),
    (
        "an option of $any_of that nothing can match",
        "{city: Oslo}}}\n  - id: words",
        "{city: Oslo, days: {$any_of: [2, {$regex: x}]}}}}\n  - id: words",
        [
            '5: weather: expect: get_weather: $.days: no value that the schema allows can match {"$regex": "x"}, an option of $any_of; change or remove it'
        ],
    ),
    (
        "a name of a template in defaults",
        "defaults: {",
        "defaults: {system: 'Be in {{city}}.', ",
        [
            "1: defaults: {{city}} is filled in cases alone; put what has it into the case",
        ],
    ),
    (
        "an indent of tabs",
        "    ask: Hello",
        "\task: Hello",
        [
            "7: not YAML: found character '\\t' that cannot start any token; indent with spaces, not with tabs"
        ],
    ),
    (
        "an unknown profile of all cases",
        "defaults: {tools",
        "defaults: {profiles: [gramar], tools",
        ["1: defaults.profiles[0]: unknown profile 'gramar'; did you mean grammar?"],
    ),
    (
        "a known defect of an unknown profile and lane",
        "ask: Hello",
        "ask: Hello\n    known_defects: [{profiles: [defualt], lanes: [steam], reason: x}]",
        [
            "8: cases[1].known_defects[0].profiles[0]: unknown profile 'defualt'; did you mean default?",
            "8: cases[1].known_defects[0].lanes[0]: unknown lane 'steam'; did you mean stream?",
        ],
    ),
    (
        "a key of the request that the suite sets, for all cases",
        "defaults: {tools",
        "defaults: {extra_body: {model: x}, tools",
        [
            "1: defaults.extra_body.model: the suite sets model itself; use the case's own keys, or leave it out"
        ],
    ),
    (
        "a key of the request that the suite sets",
        "ask: Hello",
        "ask: Hello\n    extra_body: {stream: true}",
        [
            "8: cases[1].extra_body.stream: the suite sets stream itself; use the case's own keys, or "
            "leave it out"
        ],
    ),
    (
        "a file of tools that is not there",
        "ask: Hello",
        "ask: Hello\n    tools_from: tools.json",
        [
            "8: cases[1].tools_from: there is no file 'tools.json' beside a.yaml; write its path from "
            "there"
        ],
    ),
    (
        "parameters that are no object's",
        "ask: Hello",
        "ask: Hello\n    tools: [{name: f, parameters: {type: string}}]",
        ["8: cases[1].tools[0]: a tool's parameters are of type object"],
    ),
    (
        "parameters that are no schema",
        "ask: Hello",
        "ask: Hello\n"
        "    tools: [{name: f, parameters: {type: object, properties: {a: {type: text}}}}]",
        [
            "8: cases[1].tools[0]: not a JSON Schema: 'text' is not valid under any of the given "
            "schemas"
        ],
    ),
    (
        "a tool twice",
        "ask: Hello",
        "ask: Hello\n    tools: [get_cart, get_cart]",
        ["8: words: tools: 'get_cart' is given twice; remove one"],
    ),
    (
        "a tool without a name",
        "ask: Hello",
        "ask: Hello\n    tools: [{description: x}]",
        ["8: cases[1].tools[0].name: it is missing; add it"],
    ),
    (
        "an unknown role",
        "{role: user, content: 'Cart?'}",
        "{role: users, content: 'Cart?'}",
        [
            "11: cases[2].messages[0].role: role is 'users'; did you mean user? choose from "
            "system, developer, user, assistant, tool"
        ],
    ),
    (
        "no role",
        "{role: user, content: 'Cart?'}",
        "{content: 'Cart?'}",
        [
            "11: cases[2].messages[0]: it has no role; choose from system, developer, user, assistant, "
            "tool"
        ],
    ),
    (
        "content that is a number",
        "content: 'Cart?'",
        "content: 5",
        [
            "11: cases[2].messages[0].content: content is text or a list of text parts, not 5; quote "
            "it"
        ],
    ),
    (
        "no content",
        "{role: user, content: 'Cart?'}",
        "{role: user}",
        ["11: cases[2].messages[0]: a message of role user needs content"],
    ),
    (
        "an image",
        "content: 'Cart?'",
        "content: [{type: image_url, image_url: {url: x}}]",
        [
            "11: cases[2].messages[0].content[0]: a part of type 'image_url': only {type: text, text: "
            "…} is asked; leave it out"
        ],
    ),
    (
        "ShareGPT rows",
        "{role: user, content: 'Cart?'}",
        "{from: human, value: 'Cart?'}",
        [
            "10: cases[2].messages: these are ShareGPT rows; write {role: user, content: …}: human is "
            "user, gpt is assistant"
        ],
    ),
    (
        "a result without its call's id",
        "tool_call_id: c1, ",
        "",
        [
            "14: cases[2].messages[2]: a tool's result needs tool_call_id, the id of the call that it "
            "answers",
            "15: cases[2].messages[3]: the call 'c1' has no result before this message; results come "
            "right behind their calls: {role: tool, tool_call_id: c1, …}",
        ],
    ),
    (
        "a result of a call that is not there",
        "tool_call_id: c1",
        "tool_call_id: c2",
        [
            "14: cases[2].messages[2].tool_call_id: no earlier call has the id 'c2'; there are: c1",
            "15: cases[2].messages[3]: the call 'c1' has no result before this message; results come "
            "right behind their calls: {role: tool, tool_call_id: c1, …}",
        ],
    ),
    (
        "a call without its result",
        "      - {role: tool, tool_call_id: c1, content: empty}\n",
        "",
        [
            "14: cases[2].messages[2]: the call 'c1' has no result before this message; results come "
            "right behind their calls: {role: tool, tool_call_id: c1, …}"
        ],
    ),
    (
        "arguments that are no text",
        'arguments: "{}"',
        "arguments: {}",
        [
            "13: cases[2].messages[1].tool_calls[0].function.arguments: arguments are JSON as a text; "
            "put them in quotes"
        ],
    ),
    (
        "an unknown key of a message",
        "{role: user, content: 'Cart?'}",
        "{role: user, text: 'Cart?', content: a}",
        [
            "11: cases[2].messages[0].text: unknown key; a message of role user has: content, name, "
            "role"
        ],
    ),
    (
        "a last message from the assistant",
        "{role: user, content: 'And in Oslo?'}",
        "{role: assistant, content: Well}",
        [
            "15: cases[2].messages[3]: the last message is from user or tool, since the answer to it is "
            "what is judged; not from assistant"
        ],
    ),
    (
        "two system messages",
        "      - {role: user, content: 'Cart?'}\n",
        "      - {role: system, content: a}\n"
        "      - {role: system, content: b}\n"
        "      - {role: user, content: 'Cart?'}\n",
        [
            "12: cases[2].messages[1]: a second system message; join it with the first, templates "
            "differ in what they do"
        ],
    ),
    (
        "system beside a system message",
        "  - id: turns\n    messages:\n",
        "  - id: turns\n    system: Be kind.\n    messages:\n      - {role: system, content: a}\n",
        [
            "12: cases[2].messages[0]: there is `system` already, also from defaults; keep one of the "
            "two"
        ],
    ),
    (
        "an unknown name in a template",
        'ask: "Weather in {{city}}?"',
        'ask: "Weather in {{town}}?"',
        ["17: cases[3]: unknown name {{town}}; there are: city"],
    ),
    (
        "a name that is never used",
        "vars: [{city: Oslo}, {city: Rome}]",
        "vars: [{city: Oslo, days: 1}, {city: Rome, days: 2}]",
        ["17: cases[3]: days is never used; write {{days}} somewhere, or remove it"],
    ),
    (
        "rows with other names",
        "{city: Rome}",
        "{town: Rome}",
        ["18: cases[3].vars: vars[1] and vars[0] differ in city, town; every row needs all names"],
    ),
    (
        "rows that are no list",
        "vars: [{city: Oslo}, {city: Rome}]",
        "vars: {city: Oslo}",
        ["18: cases[3].vars: vars is a list of mappings, such as [{city: Oslo}, {city: Rome}]"],
    ),
    (
        "a name in vars and matrix",
        "vars: [{city: Oslo}, {city: Rome}]",
        "vars: [{city: Oslo}]\n    matrix: {city: [Rome]}",
        ["19: cases[3].matrix: city is in vars, too; remove one of the two"],
    ),
    (
        "two rows that are the same",
        "{city: Rome}",
        "{city: Oslo}",
        [
            "17: id: 'many-oslo' is taken by another case of its template, or of the same file under "
            "two names; choose another"
        ],
    ),
    (
        "braces without quotes",
        'city: "{{city}}"',
        "city: {{city}}",
        [
            "20: cases[3].expect.call.arguments.city: key {} is not text; put {{name}} in quotes: "
            '"{{name}}"'
        ],
    ),
    (
        "a colon without quotes",
        "ask: Hello",
        "ask: Say: hello",
        [
            "7: not YAML: mapping values are not allowed here; put a value in quotes that has ': ', ' "
            "#', ',', '?', '[' or '{' in it"
        ],
    ),
    (
        "a bracket that is never closed",
        "contains: [hello]}}",
        "contains: [hello}}",
        [
            "8: not YAML: expected ',' or ']', but got '}'; put a value in quotes that has ': ', ' #', "
            "',', '?', '[' or '{' in it"
        ],
    ),
    (
        "a tag",
        "ask: Hello",
        "ask: !greeting Hello",
        [
            "7: not YAML: could not determine a constructor for the tag '!greeting'; put a value in "
            "quotes that begins with '@', '`', '%', '!' or a tab"
        ],
    ),
    (
        "a value with an at sign",
        "ask: Hello",
        "ask: @home",
        [
            "7: not YAML: found character '@' that cannot start any token; put a value in quotes that "
            "begins with '@', '`', '%', '!' or a tab"
        ],
    ),
    (
        "a case that is no mapping",
        "  - id: words\n",
        "  - Hello\n  - id: words\n",
        ["6: cases[1]: a case is a mapping, not 'Hello'"],
    ),
    (
        "no list of cases",
        "cases:\n",
        "cases: {}\nothers:\n",
        [
            "3: others: unknown key; allowed here: category, defaults, cases",
            "2: cases: it must be a list with at least one case, each begun by `- id:`",
        ],
    ),
]


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        (tmp_path / "cases" / "tools").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cases" / "tools" / "t.yaml").write_text(TOOLS)
        (tmp_path / "cases" / "a.yaml").write_text(text)
        return read_cases(find_case_files([tmp_path / "cases"]), tmp_path, **options)

    return read


def _mistakes(read, text):
    with pytest.raises(CaseFileError) as error:
        read(text, names=KnownNames(["default", "grammar"], ["server", "stream"]))
    return [line.removeprefix("cases/a.yaml:") for line in str(error.value).splitlines()]


def test_without_a_mistake_there_is_none(read):
    assert len(read(GOOD)) == 5


@pytest.mark.parametrize(("what", "old", "new", "messages"), MISTAKES)
def test_each_mistake_gets_its_message(read, what, old, new, messages):
    assert old in GOOD
    assert _mistakes(read, GOOD.replace(old, new, 1)) == messages


def test_no_message_speaks_with_the_validators_voice():
    words = ("Input should", "validation error", "Extra inputs", "Field required", "pydantic")
    for _, _, _, messages in MISTAKES:
        assert not any(word in message for message in messages for word in words)


def test_all_mistakes_of_a_file_come_in_one_go(read):
    text = GOOD.replace("ask: Hello", "ask: Hello\n    max_tokens: '5'").replace(
        "hello]", "hello, 5]"
    )
    text = text.replace("id: turns", "id: weather").replace("role: user", "role: users", 1)
    text = text.replace("city: Oslo}}}\n  - id: words", "city: {$regex: '('}}}}\n  - id: words")
    lines = [message.partition(":")[0] for message in _mistakes(read, text)]
    assert sorted(lines, key=int) == ["5", "8", "9", "10", "12"]
