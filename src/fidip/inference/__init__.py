"""From photos to poses."""
