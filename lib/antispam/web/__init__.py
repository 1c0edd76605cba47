"""The console: the quarantine in a browser, for its users and their helpdesk."""
