"""Servers under test: boot or attach, know when they are ready, and leave none behind."""
