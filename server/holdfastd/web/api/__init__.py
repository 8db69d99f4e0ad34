"""/api/v1: what the dashboard does, and adding and waiting for jobs, for programs, as JSON."""
