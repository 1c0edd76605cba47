"""The learning filter above the engine: training from reports and mailboxes, and measuring accuracy."""
