"""Patches: replace attributes of other people's objects and put back the very objects that were there."""

from __future__ import annotations

from ragmeter._native import Patches

__all__ = ["Patches"]
