"""What the API tells of itself: the OpenAPI document and its page."""
