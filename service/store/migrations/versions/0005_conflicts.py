"""Conflicts, which a person settles"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conflict",
        sa.Column("num", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("target", sa.Text(), sa.ForeignKey("target.id"), nullable=False),
        sa.Column("resource", sa.BigInteger(), nullable=False),
        sa.Column("delivery", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("elements", sa.Text(), nullable=False),
        sa.Column("base", sa.LargeBinary(), nullable=False),
        sa.Column("ours", sa.LargeBinary(), nullable=False),
        sa.Column("theirs", sa.LargeBinary(), nullable=False),
        sa.Column("remote_version", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=True),
    )
    op.create_index("conflict_of_resource", "conflict", ["target", "resource"])
    op.create_index("conflict_in_state", "conflict", ["state", "num"])
