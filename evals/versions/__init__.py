"""Which release of a package broke it: the same texts beside one version of it after another."""
