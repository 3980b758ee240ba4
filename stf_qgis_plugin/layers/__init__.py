"""Layers of the project: what the engine can read of them, and how its results are shown."""
