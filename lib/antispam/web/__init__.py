"""The console: the quarantine in a browser, for those whose mail it keeps and for those who help them."""
