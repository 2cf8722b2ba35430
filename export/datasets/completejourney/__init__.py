"""The Complete Journey data set: groceries and promotions as cross-scenario ranking data."""
