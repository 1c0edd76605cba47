"""DNS lists: the lists, the queries to them, and their answers."""
