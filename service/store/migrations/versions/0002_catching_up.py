"""What a new EHR is owed of what was there before it"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clock", sa.Column("targets", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("target", sa.Column("catching_up", sa.BigInteger(), nullable=True))
