"""History written straight into the online store, and where streaming goes on from it."""
