"""Under which ids a person or place was before it was linked anew"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("copy", sa.Column("formerly", sa.Text(), nullable=True))
