"""Reputation in the journey: whom to ask about, what follows, and what a message's fate says of its sender."""
