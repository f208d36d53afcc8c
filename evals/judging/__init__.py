"""From an answer to verdicts and rates; pure."""
