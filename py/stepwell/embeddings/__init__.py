"""Sharded embedding tables: who owns a key, a client that fails over, a row cache."""
