"""Health: what capture and the database say of themselves, for probes and for Prometheus."""
