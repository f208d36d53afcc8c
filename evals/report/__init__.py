"""Views of records: the records are the truth, every report is made from them alone."""
