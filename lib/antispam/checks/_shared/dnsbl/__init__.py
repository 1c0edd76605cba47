"""Lists in the DNS: which lists, the questions to them, and their answers."""
