"""Alembic's entry point; `bot.store.database.migrate` hands the connection in."""

from alembic import context
from sqlmodel import SQLModel

import bot.store.rows  # noqa: F401 -- registers the tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    version_table="nightshift_version",
)
with context.begin_transaction():
    context.run_migrations()
