"""Pansharpening: a multispectral image with the detail of a panchromatic one."""
