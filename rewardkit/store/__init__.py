"""Tables, migrations, sessions, import and export: the one place where records are kept."""
