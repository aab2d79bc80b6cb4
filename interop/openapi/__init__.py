"""The OpenAPI 3.1 document as a value: what the doors say of their operations, put together."""

from interop.openapi.answers import gives, pages, problem_responses, problems
from interop.openapi.document import document
from interop.openapi.operation import Description, Json, Operation, in_header, in_path, in_query, ref

__all__ = [
    "Description",
    "Json",
    "Operation",
    "document",
    "gives",
    "in_header",
    "in_path",
    "in_query",
    "pages",
    "problem_responses",
    "problems",
    "ref",
]
