# SPDX-License-Identifier: Apache-2.0
"""The fault matrix: what a processor comes to when it, its database, its locks or its clock fail.

Each test lets one fault happen to a worker that rates a small cloud, on each kind of database, and
compares the ledger with that of an undisturbed run. ``CLOUDKITTY_TEST_FAULTS=long`` lets faults
happen at more moments, with the pauses of production, and ``CLOUDKITTY_TEST_KILLS=100`` has more
workers killed at random moments; ``report`` makes the table for operators.
"""
