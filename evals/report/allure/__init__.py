"""A run as an Allure report."""

RESULTS = "allure-results"
"""Where results lie in the run's folder."""
