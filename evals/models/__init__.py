"""What is served: base model, build, quantisation, preflight, downloads."""
