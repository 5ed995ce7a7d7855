"""What lies on disk: atomic files, locks, hashes, and the directory of a run."""
