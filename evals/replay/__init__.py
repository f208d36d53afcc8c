"""A model without weights that plays scripted tokens through the stock mlx_lm.server."""
