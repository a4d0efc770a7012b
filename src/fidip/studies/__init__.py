"""Experiments that join training, inference and evaluation."""
