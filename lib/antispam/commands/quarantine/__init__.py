"""The quarantine for people: looking into it, releasing, deleting, cleaning, and taking over older ones."""
