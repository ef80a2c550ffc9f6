"""Audio teachers: networks whose embeddings the audio tower learns to predict; see `table`.

A teacher is an embedder by name: `aisfx`, `aisfx:FILE_OR_FOLDER`, a model of our own, or a public one (`laion:NAME`).
"""

from pretrain.teachers import aisfx  # noqa: F401  (registers the embedder)
from pretrain.teachers.table import TeacherTable, write_teacher_table

__all__ = ["TeacherTable", "write_teacher_table"]
