"""The MovieLens data sets: ratings of films, in the forms in which they are distributed."""
