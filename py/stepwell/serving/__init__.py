"""Wires the parts into servers: servicers, limits, engine, dispatcher, assembly."""
