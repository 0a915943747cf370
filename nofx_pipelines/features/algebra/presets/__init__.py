"""Other libraries' operators in their own names, with their own rules for missing values and warm-up."""
