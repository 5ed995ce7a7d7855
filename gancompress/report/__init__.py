"""What the report of a run shows: its files as checked data, drawings, and the page's templates."""
