"""The streams of places that are due are found without looking at those of patients"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    places = sa.text("key < 0")
    op.create_index("stream_of_place", "stream", ["target", "ready_at"], sqlite_where=places, postgresql_where=places)
