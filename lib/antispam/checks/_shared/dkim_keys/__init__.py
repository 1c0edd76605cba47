"""Private keys for signing: opendkim's tables, and creating, publishing, checking and rotating keys."""
