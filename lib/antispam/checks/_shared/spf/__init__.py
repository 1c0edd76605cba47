"""SPF where two rows of the journey need it: at MAIL FROM and at the end of the message."""
