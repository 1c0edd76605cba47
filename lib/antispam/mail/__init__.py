"""One message as values: the connection it came on, the message, the evidence, the decisions."""
