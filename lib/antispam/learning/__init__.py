"""The learning engine as people use it: teaching from mailboxes, and measuring how well it classifies."""
