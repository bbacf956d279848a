"""Turns ranked candidates into a slate: policy, seen items, diversity, back-fill."""
