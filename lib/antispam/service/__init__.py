"""The running filter: the supervisor, its workers, and their background work."""
