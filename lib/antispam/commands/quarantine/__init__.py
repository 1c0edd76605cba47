"""The quarantine commands: viewing, releasing, deleting, cleaning, and importing older quarantines."""
