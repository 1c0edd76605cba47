"""What a release is made with: archives, bill of materials, manual pages, completions. Nothing here is installed."""
