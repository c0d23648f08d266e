//! Telnyx and Meta: the one place where HTTP becomes typed results and error classes.
