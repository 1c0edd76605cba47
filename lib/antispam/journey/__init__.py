"""A message's journey: the table, its runner, one SMTP session, and what becomes of the message."""
