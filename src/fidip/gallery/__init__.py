"""Labelled images to look through in a browser, and synthetic ones to reject by hand."""
