"""Keypoint metrics: they receive keypoints and arrays, never networks."""
