"""The commands of `evals`, a module for each group; what is slow to load is loaded by its user."""
