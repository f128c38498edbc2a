"""Result objects → figures → one self-contained HTML page."""
