"""What needs a window: docks and their widgets."""
