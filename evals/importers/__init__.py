"""Case files from what people have: other suites, request logs, tools in Python or behind MCP."""
