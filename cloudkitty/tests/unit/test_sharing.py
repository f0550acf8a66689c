# SPDX-License-Identifier: Apache-2.0
"""Whose the scopes are: fair shares that move little, locks that guard them, a service that goes
away, and parts whose owner does nothing."""

import datetime
import logging
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg
from tooz import ToozError
from tooz.coordination import GroupNotCreated, MemberAlreadyExist

from cloudkitty.config import ConfigurationError
from cloudkitty.processor import coordination, group
from cloudkitty.processor.coordination import Away, Coordination
from cloudkitty.processor.crashes import LONGEST_PAUSE, STEADY_SECONDS, Crashes
from cloudkitty.processor.group import PARTS, GroupShare, assigned
from cloudkitty.processor.locks import LockShare, share_of
from cloudkitty.processor.neglect import Neglect
from cloudkitty.processor.sharing import part_of
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.unit.test_schedule import state

# -- shares --------------------------------------------------------------------------------------

names = st.sets(st.binary(min_size=1, max_size=20), min_size=1, max_size=40)


@given(names)
def test_every_part_is_somebodys_and_nobody_has_more_than_a_fair_share(members) -> None:
    owners = assigned(members)
    assert sorted(owners) == list(range(PARTS))
    assert set(owners.values()) <= members
    assert max(Counter(owners.values()).values()) <= -(-PARTS // len(members))


@given(names, st.randoms())
def test_everybody_reckons_the_same(members, random) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)
    assert assigned(shuffled) == assigned(members)


def test_nobody_has_nothing() -> None:
    assert assigned([]) == {}


@pytest.mark.parametrize("count", [3, 4, 8, 16])
def test_few_parts_move_when_one_goes(count) -> None:
    members = [b"host-%d" % number for number in range(count)]
    before, after = assigned(members), assigned(members[1:])
    moved = sum(before[part] != after[part] for part in before)
    assert PARTS // count <= moved < PARTS // 2


def test_a_scope_is_always_in_the_same_part() -> None:
    parts = {part_of(state(number), 8) for number in range(100)}
    assert parts == set(range(8))
    assert part_of(state(1, horizon=NEW_YEAR), 8) == part_of(state(1), 8)


# -- a member of a group -------------------------------------------------------------------------


class Answer:
    def __init__(self, found) -> None:
        self._found = found

    def get(self, timeout=None):
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


class Lock:
    def __init__(self, service: "Service", name: str) -> None:
        self._service = service
        self._name = name
        self.acquired = False

    def acquire(self, blocking: bool) -> bool:
        self._service.answer()
        self.acquired = self._name not in self._service.locked
        if self.acquired:
            self._service.locked.add(self._name)
        return self.acquired

    def release(self) -> bool:
        self._service.answer()
        self._service.locked.discard(self._name)
        self.acquired = False
        return True


class Service:
    """A coordination service of which the test says who is there, what is locked, and whether it
    answers."""

    def __init__(self) -> None:
        self.members: set[bytes] | None = None
        self.locked: set[str] = set()
        self.error: Exception | None = None
        self.starts = 0
        self.silent = threading.Event()
        self.silent.set()

    def answer(self) -> None:
        self.silent.wait(10)
        if self.error is not None:
            raise self.error


class Driver:
    def __init__(self, service: Service, member: bytes) -> None:
        self.service = service
        self.member = member

    def start(self, start_heart: bool) -> None:
        self.service.answer()
        self.service.starts += 1

    def stop(self) -> None:
        if self.service.members is not None:
            self.service.members.discard(self.member)

    def get_members(self, _group: bytes) -> Answer:
        self.service.answer()
        if self.service.members is None:
            return Answer(GroupNotCreated("group"))
        return Answer(set(self.service.members))

    def join_group_create(self, _group: bytes) -> None:
        self.service.answer()
        self.service.members = self.service.members or set()
        if self.member in self.service.members:
            raise MemberAlreadyExist("group", self.member)
        self.service.members.add(self.member)

    def get_lock(self, name: bytes) -> Lock:
        return Lock(self.service, name.decode())


class Member(GroupShare):
    def __init__(self, service: Service, tmp_path, name: str) -> None:
        connection = Coordination(f"file://{tmp_path}", name)
        connection._driver = Driver(service, connection.member)
        super().__init__(connection, "group")

    def looked(self):
        """The parts as the service tells them now, even if it was away and is not waited for."""
        for _ in range(2):
            self.parts()
            if self._question is not None:
                self._question.exception(10)
        return self.parts()

    def turn(self):
        [entered] = self.turns()
        return entered


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    for name in ("WATCH_SECONDS", "PATIENCE_SECONDS"):
        monkeypatch.setattr(group, name, 0)
    monkeypatch.setattr(coordination, "RETRY_SECONDS", 0)
    monkeypatch.setattr(group, "PATIENCE_SECONDS", 5)
    return Service()


@pytest.fixture
def one(service: Service, tmp_path) -> Member:
    return Member(service, tmp_path, "one")


@pytest.fixture
def two(service: Service, tmp_path) -> Member:
    return Member(service, tmp_path, "two")


ALL = frozenset(range(PARTS))


def test_who_is_alone_has_everything_until_another_comes(one, two) -> None:
    assert one.parts() == ALL
    assert len(two.parts()) == PARTS // 2
    assert one.parts() == ALL - two.parts()
    two.close()
    assert one.parts() == ALL


def test_a_name_with_anything_in_it_is_a_member(service, tmp_path) -> None:
    odd = Member(service, tmp_path, "hôte/1:x")
    assert odd.parts() == ALL
    assert service.members == {b"h-te-1-x"}


def test_who_has_lapsed_joins_again(one, service) -> None:
    assert one.parts() == ALL
    service.members = {b"other"}
    assert one.parts() < ALL
    assert service.members == {b"other", b"one"}


def test_locks_are_held_for_a_turn(one, service) -> None:
    with one.turn() as turn:
        assert turn.held() == frozenset()
        assert turn.hold([1, 2]) == {1, 2}
        assert turn.hold([3]) == {1, 2, 3}
        assert len(service.locked) == 3
    assert service.locked == set()


def test_a_part_that_another_has_locked_is_not_held(one, service) -> None:
    service.locked.add("group-part-2")
    with one.turn() as turn:
        assert turn.hold([1, 2]) == {1}
    assert service.locked == {"group-part-2"}


def test_a_part_that_becomes_anothers_is_given_back(one, two, service) -> None:
    with one.turn() as turn:
        assert turn.hold(ALL) == ALL
        theirs = two.parts()
        with two.turn() as other:
            assert other.hold(theirs) == frozenset()
            assert turn.parts() == ALL - theirs
            assert turn.held() == ALL - theirs
            assert other.hold(theirs) == theirs
    assert service.locked == set()


def test_parts_of_others_are_not_locked_for_us(one, two) -> None:
    one.parts()
    theirs = two.parts()
    with one.turn() as turn:
        assert turn.hold(theirs) == frozenset()


def test_adopted_parts_are_ours_until_the_next_call(one, two) -> None:
    one.parts()
    part = min(two.parts())
    one.adopt([part])
    assert part in one.parts()
    with one.turn() as turn:
        assert turn.hold([part]) == {part}
    one.adopt([])
    assert part not in one.parts()


def warnings(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "error", [ToozError("gone"), OSError("refused"), RuntimeError()], ids=lambda e: type(e).__name__
)
def test_everybody_keeps_the_share_when_the_service_goes(one, two, service, caplog, error) -> None:
    caplog.set_level(logging.INFO)
    one.parts()
    theirs = two.parts()
    ours = one.parts()
    service.error = error
    for _ in range(5):
        for member, share in ((one, ours), (two, theirs)):
            with member.turn() as turn:
                assert member.looked() == share
                assert turn.hold(ALL) == share
    assert len(warnings(caplog)) == 2
    assert all("going on with the same share" in text for text in warnings(caplog))
    service.error = None
    assert (one.looked(), two.looked()) == (ours, theirs)
    with one.turn() as turn:
        assert turn.hold(ALL) == ours
        assert len(service.locked) == len(ours)
    again = [r for r in caplog.records if "answers again" in r.getMessage()]
    assert len(warnings(caplog)) == len(again) == 2


def test_what_was_taken_for_locked_is_locked_as_soon_as_that_is_possible(one, service) -> None:
    with one.turn() as turn:
        turn.hold([1])
        service.error = ToozError("gone")
        assert turn.hold([1, 2]) == {1, 2}
        service.error = None
        one.looked()
        assert turn.held() == {1}
        assert turn.hold([2]) == {1, 2}
        assert service.locked == {"group-part-1", "group-part-2"}


def test_who_comes_while_the_service_is_away_waits(one, service, caplog) -> None:
    service.error = ToozError("gone")
    assert one.parts() == frozenset()
    assert one.parts() == frozenset()
    assert len(warnings(caplog)) == 1
    assert "waiting for a share of the scopes" in caplog.text
    service.error = None
    assert one.looked() == ALL


def test_a_service_that_says_nothing_does_not_stop_the_work(
    one, service, caplog, monkeypatch
) -> None:
    assert one.parts() == ALL
    monkeypatch.setattr(group, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(group, "ANSWER_SECONDS", 0)
    monkeypatch.setattr(coordination, "ANSWER_SECONDS", 0)
    service.silent.clear()
    for _ in range(3):
        with one.turn() as turn:
            assert turn.hold(ALL) == ALL
    service.silent.set()
    assert len(warnings(caplog)) == 1


def test_a_lock_that_could_not_be_given_back_is_given_back_later(one, service) -> None:
    with one.turn() as turn:
        assert turn.hold([1]) == {1}
        service.error = ToozError("gone")
    assert service.locked
    service.error = None
    one.looked()
    assert service.locked == set()


def test_what_is_wrong_with_locks_alone_is_told_once(one, service, caplog, monkeypatch) -> None:
    def refuse(_self, blocking: bool) -> bool:
        raise ToozError("out of memory")

    monkeypatch.setattr(Lock, "acquire", refuse)
    for _ in range(5):
        with one.turn() as turn:
            assert turn.hold([1]) == {1}
    assert len(warnings(caplog)) == 1
    assert "out of memory" in caplog.text


def test_a_driver_that_cannot_be_started_is_started_later(one, service) -> None:
    service.error = ToozError("gone")
    assert one.parts() == frozenset()
    assert service.starts == 0
    service.error = None
    assert one.looked() == ALL
    assert one.looked() == ALL
    assert service.starts == 1


# -- which service -------------------------------------------------------------------------------


def named(conf: cfg.ConfigOpts, url: str):
    conf.set_override("coordination_url", url, "orchestrator")
    return share_of(conf)


def test_what_has_groups_is_used_with_them(conf: cfg.ConfigOpts, tmp_path) -> None:
    assert isinstance(named(conf, f"file://{tmp_path}/locks"), GroupShare)


@pytest.mark.parametrize(
    "scheme", ["mysql+pymysql", "mariadb", "mariadb+pymysql", "postgresql+psycopg2"]
)
def test_the_url_of_the_database_is_one(conf, scheme) -> None:
    url = f"{scheme}://{scheme}:{scheme}@127.0.0.1:1/nothing?charset=utf8mb4"
    share = named(conf, url)
    assert isinstance(share, LockShare)
    assert share._coordination._driver._parsed_url.username == scheme


@pytest.mark.parametrize("workers, parts", [(0, 1), (1, 1), (3, 3)])
def test_a_database_is_used_with_a_lock_for_each_worker(conf, workers, parts) -> None:
    conf.set_override("max_workers", workers, "orchestrator")
    share = named(conf, "mysql://nobody@127.0.0.1:1/nothing")
    assert isinstance(share, LockShare)
    assert share.parts() == frozenset(range(parts))


def test_a_lock_service_that_is_away_is_told_once(conf, caplog) -> None:
    conf.set_override("max_workers", 2, "orchestrator")
    share = named(conf, "mysql://nobody@127.0.0.1:1/nothing")
    for _ in range(2):
        for entered in share.turns():
            with entered as turn:
                assert turn is not None
    assert len(warnings(caplog)) == 1
    assert "going on without locks" in caplog.text
    share.close()


@pytest.mark.parametrize(
    ("group_name", "option", "value"),
    [
        ("collect", "scope_key", "domain_id"),
        ("collect", "collector", "prometheus"),
        ("fetcher", "backend", "csv"),
        ("database", "connection", "mysql://me@elsewhere/cloudkitty"),
    ],
)
def test_who_rates_something_else_is_in_another_group(
    conf, tmp_path, group_name, option, value
) -> None:
    conf.set_override("connection", "mysql://me@here/cloudkitty", "database")
    before = named(conf, f"file://{tmp_path}")._name
    conf.set_override(option, value, group_name)
    assert named(conf, f"file://{tmp_path}")._name != before


def test_credentials_do_not_tell_groups_apart(conf, tmp_path) -> None:
    conf.set_override("connection", "mysql://me:old@here/cloudkitty", "database")
    before = named(conf, f"file://{tmp_path}")._name
    conf.set_override("connection", "mysql://you:new@here/cloudkitty?charset=utf8mb4", "database")
    assert named(conf, f"file://{tmp_path}")._name == before


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("redis://h", "redis"),
        ("etcd3+http://h", "etcd"),
        ("zookeeper://h", "zookeeper"),
    ],
)
def test_a_missing_library_is_named(conf, monkeypatch, url, extra) -> None:
    def missing(*_args: object) -> None:
        raise ImportError("No module named 'x'")

    monkeypatch.setattr("tooz.coordination.get_coordinator", missing)
    with pytest.raises(ConfigurationError, match=rf"pip install 'cloudkitty\[{extra}\]'"):
        named(conf, url)


def test_a_service_of_unknown_kind_is_refused(conf) -> None:
    with pytest.raises(ConfigurationError, match="gopher"):
        named(conf, "gopher://h")


def test_an_answer_of_nobody_is_away(tmp_path) -> None:
    connection = Coordination(f"file://{tmp_path}", "one")
    service = Service()
    service.error = ToozError("gone")
    connection._driver = Driver(service, b"one")
    with pytest.raises(Away, match="gone"):
        connection.try_lock("x")


# -- neglect -------------------------------------------------------------------------------------

PATIENCE = datetime.timedelta(minutes=10)
MINUTE = datetime.timedelta(minutes=1)


def test_a_part_that_stands_still_is_neglected() -> None:
    neglect = Neglect(PATIENCE)
    due = [state(1), state(2)]
    assert neglect.look(due, 8, NEW_YEAR) == frozenset()
    assert neglect.look(due, 8, NEW_YEAR + 9 * MINUTE) == frozenset()
    assert neglect.look(due, 8, NEW_YEAR + PATIENCE) == {part_of(one, 8) for one in due}


def test_a_part_in_which_something_happens_is_not() -> None:
    neglect = Neglect(PATIENCE)
    for minutes in range(0, 60, 5):
        moving = state(1, horizon=NEW_YEAR + minutes * HOUR)
        assert neglect.look([moving], 8, NEW_YEAR + minutes * MINUTE) == frozenset()


def test_a_part_in_which_nothing_was_due_meanwhile_is_not() -> None:
    neglect = Neglect(PATIENCE)
    neglect.look([state(1)], 8, NEW_YEAR)
    neglect.look([], 8, NEW_YEAR + 5 * MINUTE)
    assert neglect.look([state(1)], 8, NEW_YEAR + PATIENCE) == frozenset()


# -- workers that die ----------------------------------------------------------------------------


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def test_the_pause_grows_with_the_deaths_in_a_row(time) -> None:
    crashes = Crashes(time)
    pauses = []
    for _ in range(9):
        pauses.append(crashes.pause(0))
        crashes.note(0, 1)
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, LONGEST_PAUSE]
    assert crashes.deaths(0) == 9
    assert crashes.pause(1) == 0


@pytest.mark.parametrize("code", [1, -9, 255])
def test_whatever_it_died_of_counts(time, code) -> None:
    crashes = Crashes(time)
    crashes.note(0, code)
    assert crashes.deaths(0) == 1


def test_who_was_told_to_end_has_not_died(time) -> None:
    crashes = Crashes(time)
    for _ in range(3):
        crashes.note(0, 1)
    crashes.note(0, 0)
    assert crashes.pause(0) == 0


def test_who_lived_long_has_got_over_it(time) -> None:
    crashes = Crashes(time)
    for _ in range(5):
        crashes.note(0, 1)
    time.now = STEADY_SECONDS + 1
    crashes.note(0, 1)
    assert crashes.deaths(0) == 1
