"""Names, types and stored forms that training and serving share."""
