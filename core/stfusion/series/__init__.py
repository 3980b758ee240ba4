"""Time series: which pairs predict which date, and the fusion of all dates."""
