"""The algorithms of the toolbox: one for each declared method, and those that look after the engine."""
