"""Reputation in the journey: which domain to ask about, what follows, and what the outcome of a message says about it."""
