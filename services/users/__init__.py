"""What a person may ask for: what is stored of them, and to be forgotten."""
