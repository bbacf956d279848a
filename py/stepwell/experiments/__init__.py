"""Experiments: who is in which arm, and the record that somebody was."""
