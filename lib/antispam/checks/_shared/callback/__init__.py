"""Call-back verification of senders (CBV), and the notices (DSN) that tell senders what is wrong."""
