"""The agent under test: what it offers a model, as an MCP server would list it."""

TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather in a city.",
        "inputSchema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
    {"name": "list_alarms", "description": "The alarms that are set.", "inputSchema": {}},
]
