"""`report.html`: a run as one file."""

REPORT = "report.html"
