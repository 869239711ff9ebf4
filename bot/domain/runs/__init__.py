"""A run of the model: its profile, its rows, its tools' names, and what people see of it."""
