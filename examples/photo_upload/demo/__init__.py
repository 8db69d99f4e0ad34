"""`make demo`: the photo upload end to end, with the mail server down and a worker killed."""
