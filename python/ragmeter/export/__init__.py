"""Exporters: hand recorded calls on to somebody else's system."""
