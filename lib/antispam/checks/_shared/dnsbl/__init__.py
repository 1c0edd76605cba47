"""Lists in the DNS: which ones, about what they are asked, and what they said."""
