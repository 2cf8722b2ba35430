"""What became of answers: events that carry an attribution token, joined to the answers that the tokens name."""
