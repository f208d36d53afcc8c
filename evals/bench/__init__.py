"""Experiments: the suite run on several models, and what differs between them."""
