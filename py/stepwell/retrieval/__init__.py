"""Candidate sources, their artifacts and the merge: the retrieval stage."""
