"""Several front processes: leases, senders and the inbox as a table. PostgreSQL only."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UP = (
    "CREATE TABLE front_lease (executor TEXT PRIMARY KEY, beat TIMESTAMPTZ NOT NULL)",
    "CREATE TABLE sender (target TEXT PRIMARY KEY, holder TEXT NOT NULL)",
    """CREATE TABLE delivery (
        id BIGSERIAL PRIMARY KEY,
        source TEXT NOT NULL,
        received_at DOUBLE PRECISION NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending',
        error TEXT NOT NULL DEFAULT '',
        body BYTEA NOT NULL
    )""",
    "CREATE INDEX delivery_state ON delivery (state, id)",
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in _UP:
            op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ("delivery", "sender", "front_lease"):
            op.execute(f"DROP TABLE {name}")
