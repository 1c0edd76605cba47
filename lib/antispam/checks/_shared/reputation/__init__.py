"""Reputation in the journey: whom to ask about, what follows, and what the outcome of a message says of its sender."""
