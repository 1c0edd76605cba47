"""The anti-spam application: what a message goes through between the SMTP door and the verdict."""

__version__ = "1.0.0"
