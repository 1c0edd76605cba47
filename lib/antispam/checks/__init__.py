"""One module a check; none imports another. The order in which they run is the JOURNEY table of bms.py."""
