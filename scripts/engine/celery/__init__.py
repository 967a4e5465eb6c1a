"""Steps on machines that share a file system, through Celery and Redis; nothing else knows them."""
