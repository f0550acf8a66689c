# SPDX-License-Identifier: Apache-2.0
"""A rating module for the documented interface of today: a new frame with prices of at least 1, and
a controller for the web framework itself."""

from decimal import Decimal

import pecan
from pecan import rest

from cloudkitty import dataframe, rating


class MinimumController(rest.RestController):
    @pecan.expose("json")
    def get_all(self):
        return {"minimums": ["1"]}

    @pecan.expose("json")
    def get_one(self, minimum_id):
        if minimum_id == "broken":
            raise RuntimeError("secret")
        if minimum_id != "1":
            pecan.abort(404, f"No such minimum: {minimum_id}")
        return {"minimum": minimum_id}

    @pecan.expose("json")
    def post(self):
        pecan.response.status = 201
        return pecan.request.json


class Minimum(rating.RatingProcessorBase):
    module_name = "minimum"
    description = "Nothing is cheaper than 1."
    hot_config = True
    config_controller = MinimumController

    def reload_config(self, start=None):
        self._as_of = start

    def process(self, data):
        output = dataframe.DataFrame(start=data.start, end=data.end)
        for service_name, point in data.iterpoints():
            assert self._as_of == data.start
            price = max(point.price, Decimal(1))
            output.add_point(point.set_price(price), service_name)
        return output

    def quote(self, data):
        """Quotes are free of minimums."""
        return data
