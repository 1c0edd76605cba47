"""Reputation in the journey: the query about a domain, the verdict, and the vote that a message's outcome gives."""
