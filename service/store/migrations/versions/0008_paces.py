"""When an EHR with an agreed rate may be called next"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("target", sa.Column("paced_until", sa.BigInteger(), nullable=False, server_default="0"))
