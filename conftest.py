"""pytest reads YAML cases through the plugin of evals."""

pytest_plugins = ["evals.plugin"]
