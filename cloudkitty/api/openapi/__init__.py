# SPDX-License-Identifier: Apache-2.0
"""The document that describes the whole API to programs, read from the functions that answer.

Invariant: nothing is listed here. What exists is found by walking the tree of nodes, and what it
takes and gives is read from the types that the functions themselves work with.
"""
