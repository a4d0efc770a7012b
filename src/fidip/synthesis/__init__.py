"""Synthetic, fully annotated people: bodies, poses, scenes, renderers."""
