"""Typed faces of the native operators: embedding lookup and feature interaction."""
