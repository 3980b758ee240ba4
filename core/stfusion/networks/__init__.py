"""Fusion networks: one declaration and one module per network, their layers, their samplers and their checkpoints."""
