"""What was said in attempts, and how EHRs stood when they were last reconciled"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("heads", sa.Text(), nullable=True))
    op.add_column("attempt", sa.Column("bodies", sa.Text(), nullable=True))
    op.create_table(
        "reconciliation",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["target"], ["target.id"]),
        sa.PrimaryKeyConstraint("target"),
    )
