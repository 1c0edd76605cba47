"""Code that several checks share and nothing else uses."""
