"""The running filter: the supervisor, its workers, and what they do beside the mail."""
