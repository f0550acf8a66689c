# SPDX-License-Identifier: Apache-2.0
"""A database of the service that this one takes the place of, as its documentation describes it,
with rules and rated rows that are the same in every run.

The tables are written down here once more, with types and constraints, and not taken from the
importer: what reads them is under test.
"""

import datetime
import hashlib
import json
import pathlib
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cloudkitty.tests.databases import server_url

METADATA = sa.MetaData()

DRIVERS = {"sqlite": "sqlite", "mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg2"}

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8"}


def _table(name: str, *columns: Any, **options: Any) -> sa.Table:
    return sa.Table(name, METADATA, *columns, **MYSQL, **options)


def _id() -> sa.Column:
    return sa.Column("id", sa.Integer, primary_key=True)


def _audit() -> list[sa.Column]:
    return [
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("start", sa.DateTime, nullable=False),
        sa.Column("end", sa.DateTime),
        sa.Column("deleted", sa.DateTime),
        sa.Column("description", sa.String(256)),
        sa.Column("created_by", sa.String(32), nullable=False),
        sa.Column("updated_by", sa.String(32)),
        sa.Column("deleted_by", sa.String(32)),
    ]


def _parents() -> list[sa.Column]:
    return [
        sa.Column("service_id", sa.ForeignKey("hashmap_services.id", ondelete="CASCADE")),
        sa.Column("field_id", sa.ForeignKey("hashmap_fields.id", ondelete="CASCADE")),
        sa.Column("group_id", sa.ForeignKey("hashmap_groups.id", ondelete="SET NULL")),
        sa.Column("tenant_id", sa.String(255)),
    ]


writer_states = _table(
    "states",
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("state", sa.BigInteger, nullable=False),
    sa.Column("s_metadata", sa.Text),
)
modules_state = _table(
    "modules_state",
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("state", sa.Boolean, nullable=False),
    sa.Column("priority", sa.Integer),
)
collectors = _table(
    "service_to_collector_mappings",
    sa.Column("service", sa.String(255), primary_key=True),
    sa.Column("collector", sa.String(255), nullable=False),
)
services = _table(
    "hashmap_services",
    _id(),
    sa.Column("service_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
)
fields = _table(
    "hashmap_fields",
    _id(),
    sa.Column("field_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column(
        "service_id", sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"), nullable=False
    ),
    sa.UniqueConstraint("service_id", "name", name="uniq_field_per_service"),
)
groups = _table(
    "hashmap_groups",
    _id(),
    sa.Column("group_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
)
mappings = _table(
    "hashmap_mappings",
    _id(),
    sa.Column("mapping_id", sa.String(36), nullable=False, unique=True),
    sa.Column("value", sa.String(255)),
    sa.Column("cost", sa.Numeric(40, 28), nullable=False),
    sa.Column("map_type", sa.Enum("flat", "rate", name="enum_map_type"), nullable=False),
    *_parents(),
    *_audit(),
)
thresholds = _table(
    "hashmap_thresholds",
    _id(),
    sa.Column("threshold_id", sa.String(36), nullable=False, unique=True),
    sa.Column("level", sa.Numeric(20, 8)),
    sa.Column("cost", sa.Numeric(40, 28), nullable=False),
    sa.Column("map_type", sa.Enum("flat", "rate", name="enum_hashmap_type"), nullable=False),
    *_parents(),
    sa.UniqueConstraint("level", "field_id", "tenant_id", name="uniq_field_threshold"),
    sa.UniqueConstraint("level", "service_id", "tenant_id", name="uniq_service_threshold"),
)
scripts = _table(
    "pyscripts_scripts",
    _id(),
    sa.Column("script_id", sa.String(36), nullable=False, unique=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("checksum", sa.String(128), nullable=False),
    *_audit(),
)
states = _table(
    "cloudkitty_storage_states",
    _id(),
    sa.Column("identifier", sa.String(256), nullable=False),
    sa.Column("scope_key", sa.String(40)),
    sa.Column("fetcher", sa.String(40)),
    sa.Column("collector", sa.String(40)),
    sa.Column("last_processed_timestamp", sa.DateTime, nullable=False),
    sa.Column("scope_activation_toggle_date", sa.DateTime, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
)
schedule = _table(
    "storage_scope_reprocessing_schedule",
    _id(),
    sa.Column("identifier", sa.String(256), nullable=False),
    sa.Column("start_reprocess_time", sa.DateTime, nullable=False),
    sa.Column("end_reprocess_time", sa.DateTime, nullable=False),
    sa.Column("current_reprocess_time", sa.DateTime),
    sa.Column("reason", sa.Text, nullable=False),
)
rated = _table(
    "rated_data_frames",
    _id(),
    sa.Column("tenant_id", sa.String(32)),
    sa.Column("begin", sa.DateTime, nullable=False),
    sa.Column("end", sa.DateTime, nullable=False),
    sa.Column("unit", sa.String(255), nullable=False),
    sa.Column("qty", sa.Numeric(15, 5), nullable=False),
    sa.Column("res_type", sa.String(255), nullable=False),
    sa.Column("rate", sa.Float, nullable=False),
    sa.Column("desc", sa.Text, nullable=False),
    sa.Index("idx_rated_data_frames_date", "begin", "end"),
    sa.Index("idx_tenantid_begin_end", "tenant_id", "begin", "end"),
)

HEADS = {
    "cloudkitty_alembic": "385e33fef139",
    "hashmap_alembic": "8a591f85865f",
    "pyscripts_alembic": "c6e4cda29654",
    "storage_states_alembic": "9feccd32",
    "storage_sqlalchemy_alembic": "d875621d0384",
    "storage_hybrid_alembic": "03da4bb002b9",
}

VERSIONS = {
    name: _table(name, sa.Column("version_num", sa.String(32), primary_key=True)) for name in HEADS
}

BEGIN = datetime.datetime(2026, 1, 30)
HOUR = datetime.timedelta(hours=1)


class RatedRow(NamedTuple):
    """A row of ``rated_data_frames`` as it was written: amounts are decimals still."""

    tenant_id: str | None
    begin: datetime.datetime
    end: datetime.datetime
    unit: str
    qty: Decimal
    res_type: str
    rate: Decimal
    desc: dict[str, Any]


class OldService:
    """The old service's database of one dialect, freshly made."""

    def __init__(self, dialect: str, directory: pathlib.Path) -> None:
        self.dialect = dialect
        self._name = f"cloudkitty_old_{uuid.uuid4().hex[:12]}"
        if dialect == "sqlite":
            self.path = directory / "old.sqlite"
            self.url = f"sqlite:///{self.path}"
        else:
            self._server = server_url(dialect)
            self._admin(f"CREATE DATABASE {self._name}")
            url = make_url(self._server).set(database=self._name)
            self.url = url.render_as_string(hide_password=False)
        self.engine = sa.create_engine(make_url(self.url).set(drivername=DRIVERS[dialect]))
        METADATA.create_all(self.engine)
        with self.engine.begin() as connection:
            for name, head in HEADS.items():
                connection.execute(VERSIONS[name].insert().values(version_num=head))

    def _admin(self, statement: str) -> None:
        url = make_url(self._server).set(drivername=DRIVERS[self.dialect])
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def drop(self) -> None:
        self.engine.dispose()
        if self.dialect == "postgresql":
            self._admin(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        elif self.dialect == "mysql":
            self._admin(f"DROP DATABASE IF EXISTS {self._name}")

    def execute(self, statement: Any, rows: Any = None) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement, rows)

    def add(self, table: sa.Table, *rows: dict[str, Any]) -> None:
        for row in rows:
            self.execute(table.insert().values(**row))

    def add_rated(self, rows: Iterable[RatedRow]) -> None:
        """Store rated rows as the old service does: price as a binary fraction, attributes as
        JSON."""
        values = [
            {**row._asdict(), "rate": float(row.rate), "desc": json.dumps(row.desc)} for row in rows
        ]
        with self.engine.begin() as connection:
            for first in range(0, len(values), 2000):
                connection.execute(rated.insert(), values[first : first + 2000])

    def checksum(self) -> str:
        """A digest of all that the database holds."""
        digest = hashlib.sha256()
        with self.engine.connect() as connection:
            for table in METADATA.sorted_tables:
                digest.update(table.name.encode())
                for row in connection.execute(sa.select(table).order_by(*table.primary_key)):
                    digest.update(repr(tuple(row)).encode())
        return digest.hexdigest()


def calendar(begin: datetime.datetime) -> dict[str, str]:
    """What the old service adds to the attributes of every point."""
    return {
        "week_of_the_year": begin.strftime("%U"),
        "day_of_the_year": str(begin.timetuple().tm_yday),
        "month": str(begin.month),
        "year": str(begin.year),
    }


def rated_rows(tenants: Sequence[str], hours: int) -> Iterator[RatedRow]:
    """A few days of a small cloud around the end of January 2026: instances that stay as they are
    and are resized, a volume that grows, network usage that is different each hour, and one
    instance that is off for some hours."""
    for hour in range(hours):
        begin = BEGIN + hour * HOUR
        for number, tenant in enumerate(tenants):
            own = {"project_id": tenant, **calendar(begin)}

            def row(metric, unit, qty, rate, desc, own=own, begin=begin, tenant=tenant):
                return RatedRow(
                    tenant,
                    begin,
                    begin + HOUR,
                    unit,
                    Decimal(qty),
                    metric,
                    Decimal(rate),
                    desc | own,
                )

            flavor, rate = ("small", "0.0125") if hour < 20 + number else ("large", "0.1")
            yield row("instance", "instance", 1, rate, {"id": f"vm-{number}", "flavor": flavor})
            if hour % 10 > 2:
                yield row("instance", "instance", 1, "0.37", {"id": f"on-off-{number}"})
            size = 10 + hour // 24
            yield row("volume.size", "GiB", size, Decimal("0.002") * size, {"id": f"v-{number}"})
            sent = Decimal(hour * 7919 % 1000 * (number + 1)) / 1000
            yield row("network", "MB", sent, sent * 3, {"id": f"n-{number}", "vnic": None})


def _uuid(number: int) -> str:
    return str(uuid.UUID(int=number))


def _audited(name: str, start: datetime.datetime, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "created_at": start,
        "start": start,
        "end": None,
        "deleted": None,
        "description": None,
        "created_by": "an-admin",
        "updated_by": None,
        "deleted_by": None,
        **more,
    }


SOURCE = "for points in data['usage'].values():\n    pass\n# Grüße\n"


def fill_rules(old: OldService) -> None:
    """Rules of every kind: of services and fields, in groups, of projects, ended, deleted, and of
    the releases that knew no dates."""
    noon = datetime.datetime(2026, 1, 1, 12)
    summer = datetime.datetime(2025, 7, 1)
    epoch = datetime.datetime(1970, 1, 1)
    old.add(modules_state, {"name": "hashmap", "state": True, "priority": 100})
    old.add(modules_state, {"name": "pyscripts", "state": False, "priority": None})
    old.add(modules_state, {"name": "a-guest", "state": True, "priority": 3})
    old.add(writer_states, {"name": "writer_status_x", "state": 1, "s_metadata": None})
    old.add(collectors, {"service": "compute", "collector": "gnocchi"})
    old.add(services, {"id": 7, "service_id": _uuid(1), "name": "instance"})
    old.add(services, {"id": 9, "service_id": _uuid(2), "name": "volume.size"})
    old.add(fields, {"id": 4, "field_id": _uuid(3), "name": "flavor", "service_id": 7})
    old.add(fields, {"id": 5, "field_id": _uuid(4), "name": "vcpus", "service_id": 7})
    old.add(groups, {"id": 2, "group_id": _uuid(5), "name": "licences"})
    flavor = {"map_type": "flat", "field_id": 4}
    for row in (
        {"value": "small", "cost": Decimal("0.0125"), **_audited("m1", epoch), **flavor},
        {
            "value": "small",
            "cost": Decimal("0.01"),
            "tenant_id": "alpha",
            **_audited("m2", noon, end=summer.replace(year=2026)),
            **flavor,
        },
        {
            "value": "large",
            "cost": Decimal("0.1000000000000000000000000001"),
            **_audited("m3", summer, description="Größe", updated_by="bob"),
            **flavor,
        },
        {
            "value": "large",
            "cost": Decimal("0.2"),
            **_audited("m3", noon, deleted=noon + HOUR, deleted_by="carol"),
            **flavor,
        },
        {
            "value": None,
            "cost": Decimal("1.5"),
            "map_type": "rate",
            "service_id": 7,
            "group_id": 2,
            **_audited("m5", noon),
        },
        {
            "value": None,
            "cost": Decimal("0.002"),
            "map_type": "flat",
            "service_id": 9,
            **_audited("m6", noon),
        },
    ):
        number = int(row["name"][1:]) + (10 if row["deleted"] else 0)
        old.add(mappings, {"mapping_id": _uuid(100 + number), **row})
    rule = {"cost": Decimal("0.9"), "map_type": "rate"}
    old.add(
        thresholds,
        {"threshold_id": _uuid(201), "level": Decimal("40"), "service_id": 9, **rule},
        {"threshold_id": _uuid(202), "level": Decimal("4.5"), "field_id": 5, "group_id": 2, **rule},
        {
            "threshold_id": _uuid(203),
            "level": Decimal("40"),
            "service_id": 9,
            "tenant_id": "beta",
            **rule,
        },
    )
    old.add(
        scripts,
        {
            "script_id": _uuid(301),
            "data": zlib.compress(SOURCE.encode()),
            "checksum": hashlib.sha1(SOURCE.encode()).hexdigest(),
            **_audited("discount", noon),
        },
        {
            "script_id": _uuid(302),
            "data": zlib.compress(b""),
            "checksum": hashlib.sha512(b"").hexdigest(),
            **_audited("discount", noon, deleted=noon + HOUR, deleted_by="carol"),
        },
    )


def state(identifier: str, processed: datetime.datetime, **more: Any) -> dict[str, Any]:
    """A row of the scope states, with everything that the old service writes sooner or later."""
    return {
        "identifier": identifier,
        "scope_key": "project_id",
        "fetcher": "source",
        "collector": "csv",
        "last_processed_timestamp": processed,
        "scope_activation_toggle_date": datetime.datetime(2025, 5, 1),
        "active": True,
        **more,
    }


def fill(old: OldService, tenants: Sequence[str], hours: int) -> list[RatedRow]:
    """Rules, rated rows of these scopes and their states; returns the rows as written."""
    fill_rules(old)
    rows = list(rated_rows(tenants, hours))
    old.add_rated(rows)
    old.add(states, *(state(tenant, BEGIN + (hours - 1) * HOUR) for tenant in tenants))
    return rows
