"""Attribution of outcomes: joins events that carry an attribution token to the answer that issued the token."""
