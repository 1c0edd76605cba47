"""The digest: mail that tells a user what is kept from them, with signed links that show and deliver it."""
