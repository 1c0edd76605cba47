"""Signs of fraud, and of mail that no honest program sends: pure functions of what a message says and shows.

A sign has the name of a test, and the evidence as one sentence. Its points are in mail/score_table.py.
"""
