"""Tool parsers that a profile puts into `mlx_lm.server` by a small launcher."""
