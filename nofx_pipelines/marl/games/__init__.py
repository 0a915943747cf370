"""Small worlds whose right answer is known: they tell a right implementation from a wrong one in seconds."""
