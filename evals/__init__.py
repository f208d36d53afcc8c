"""Does tool calling survive the pipeline, and did the last change break it."""

__version__ = "0.1.0"
