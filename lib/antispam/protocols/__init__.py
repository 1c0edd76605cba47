"""Protocols and formats as their RFCs define them, without settings, clock, store or milter."""
