# SPDX-License-Identifier: Apache-2.0
"""The rating module ``hashmap``: prices by metric, and by value of an attribute."""
