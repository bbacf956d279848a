"""After the answer: what was shown, what users did with it, what follows of it."""
