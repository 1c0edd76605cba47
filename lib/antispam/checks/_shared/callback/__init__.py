"""Calling senders back: does the address exist (CBV), and the notices (DSN) that explain to senders what is wrong."""
