"""All mean-field iterations in one call of compiled code, with their derivative."""
