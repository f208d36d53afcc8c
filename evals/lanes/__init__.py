"""The ways a case travels: in process, over HTTP, as a stream, and through an agent."""
