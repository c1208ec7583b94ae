"""Change between two surveys of a structure: registration, matching, growth with its ±, ids that live on. Pure data."""
