"""Protocols and formats as their RFCs have them: no settings, no clock, no store, no milter."""
