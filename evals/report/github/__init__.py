"""A run as GitHub Actions shows it: job summary, annotations and issue text."""
