"""ragmeter counts every token that a RAG stack pays for, once, and says who spent it."""

from ragmeter._native import Usage

__all__ = ["Usage"]
