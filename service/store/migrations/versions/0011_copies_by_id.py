"""What an EHR has under an id is found by the id first"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("copy_there", "copy")
    op.create_index("copy_there", "copy", ["remote_id", "target"])
