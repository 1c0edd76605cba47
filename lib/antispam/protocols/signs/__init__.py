"""Signs of fraud and of mail that no honest program sends: pure functions over what a message says and shows.

A sign has the name of a test and the evidence in one sentence; what it is worth stands in mail/score_table.py.
"""
