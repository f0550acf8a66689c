# SPDX-License-Identifier: Apache-2.0
"""The parts of ``soak.py``: a cloud whose source flaps, prices that change, readers, a check."""
