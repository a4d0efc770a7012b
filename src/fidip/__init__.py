"""Infant pose estimation from small data."""
