"""The types of a recipe's fields, and the names that they allow."""
