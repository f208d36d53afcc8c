"""From raw model text to what it says: one reader per call format."""
