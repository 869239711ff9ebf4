"""What each CI job wrote when it was last green"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "green_log",
        sa.Column("repository", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("sha", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("repository", "job"),
    )


def downgrade() -> None:
    op.drop_table("green_log")
