"""Labels → soft preferences, on the human scale, split so that nothing stands on two sides."""
