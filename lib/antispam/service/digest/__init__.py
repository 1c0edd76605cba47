"""The digest: mail that lists a user's quarantined messages, with signed links to view and deliver them."""
