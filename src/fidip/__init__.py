"""Infant pose estimation from small data."""

__version__ = "0.1.0"
