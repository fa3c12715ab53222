"""What an EHR made of what it was sent"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("copy", sa.Column("made", sa.LargeBinary(), nullable=True))
