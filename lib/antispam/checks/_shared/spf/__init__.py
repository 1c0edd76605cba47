"""The parts of SPF that two rows of the journey share: at MAIL FROM and at the end of the message."""
