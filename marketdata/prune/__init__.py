"""Retention: what is older than a policy keeps is declared, deleted, and its space given back."""
