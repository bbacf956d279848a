"""Stepwell: a real-time recommendation server that steps down before it fails."""
