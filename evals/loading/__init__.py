"""From YAML files to cases, with every mistake at its line."""
