"""The guided start: looks at files as people have them, and proposes settings with which they import."""
