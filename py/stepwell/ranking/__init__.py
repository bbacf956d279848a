"""Scorers: model inputs in, one score a candidate out."""
