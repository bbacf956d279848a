"""`./stepwell demo`: from nothing to recommendations."""
