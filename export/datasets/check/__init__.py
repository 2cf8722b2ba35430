"""`crossrec data check`: what is wrong or odd in a data set before anything is trained on it."""
