"""What the daemon says of itself: logs, metrics, health, status and the pages that carry them."""
