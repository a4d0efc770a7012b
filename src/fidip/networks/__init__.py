"""Pose networks, the domain classifier and their weights."""
