"""Accuracy of fused images: metrics and pictures."""
