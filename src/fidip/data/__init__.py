"""From annotated images to batches on a device."""
