"""Spatiotemporal fusion: one module per method declares it, its underscored twin computes it."""
