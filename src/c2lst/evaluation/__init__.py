"""Judge predictions and synthetic images."""
