"""Stores: packed blobs by view and entity, and a durable log of events."""
