"""What can be done over HTTP: to jobs, one, some or all that match, to queues, to workers."""
