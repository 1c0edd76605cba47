"""Helpers for tests: real servers in private networks, SMTP on the wire, and plain-text dialogues."""
