"""Every setting of gridbot, declared once: read, checked, listed and documented from there."""
