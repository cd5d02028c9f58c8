"""Alembic's entry point: it runs in the transaction that ``Store`` opened."""

from alembic import context

from handrail.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="handrail_version",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
