"""What a project begins with: its configuration, first cases, and cases drafted from an answer."""
