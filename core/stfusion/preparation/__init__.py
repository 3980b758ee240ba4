"""Data preparation: simulated scenes."""
