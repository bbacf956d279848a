"""What the ranker knows of a user and of each candidate, for training and serving."""
