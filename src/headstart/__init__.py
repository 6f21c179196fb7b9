"""Headstart: which way of transferring pays on your data, by how much, and at what cost."""

__version__ = "0.1.0"
