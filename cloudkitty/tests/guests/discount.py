# SPDX-License-Identifier: Apache-2.0
"""A rating module for the documented interface of the first years: halves the price of every point
in the dictionary form of a list of frames."""

from decimal import Decimal

from cloudkitty import rating


class Discount(rating.RatingProcessorBase):
    module_name = "discount"
    description = "Halves prices."

    def __init__(self, tenant_id=None):
        super().__init__(tenant_id)
        self._share = None

    def reload_config(self):
        self._share = Decimal("0.5")

    def process(self, data):
        for cur_data in data:
            for service, entries in cur_data["usage"].items():
                for entry in entries:
                    if "rating" not in entry:
                        entry["rating"] = {"price": Decimal(0)}
                    if entry["desc"].get("project_id") != "charity":
                        entry["rating"]["price"] = entry["rating"]["price"] * self._share
                    else:
                        entry["rating"]["price"] = 0
                    assert entry["vol"]["unit"], service
        return data
