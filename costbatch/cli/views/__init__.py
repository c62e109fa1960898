"""What commands print for people: runs, plans, anomalies, health checks and progress."""
