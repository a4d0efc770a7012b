"""Parametric bodies behind one protocol."""
