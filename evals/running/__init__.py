"""A profile opened, its questions asked, and the folder that a run leaves."""
