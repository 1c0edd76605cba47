"""The private keys that sign: opendkim's tables of them, making, publishing, checking and rotating them."""
