"""A judge against the people: how far they agree, where it leans, and how much of that is noise."""
