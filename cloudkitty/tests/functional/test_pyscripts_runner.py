# SPDX-License-Identifier: Apache-2.0
"""Scripts in processes of their own: what they are given, and what they cannot do to anybody."""

import concurrent.futures
import datetime
import gc
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cloudkitty.rating.pyscripts import runner as runner_module
from cloudkitty.rating.pyscripts import sandbox
from cloudkitty.rating.pyscripts.engine import Script
from cloudkitty.rating.pyscripts.runner import Runner, ScriptFailed
from cloudkitty.rating.pyscripts.sandbox import Limits
from cloudkitty.tests.builders import NEW_YEAR
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import ROOT

LIMITS = Limits(cpu_time=1, wall_time=60, memory=192)
"""Time enough to use up a second of a processor that others use too."""

CONFINED = pytest.mark.skipif(
    not sandbox.Sandbox()._filter, reason="the kernel of this machine cannot confine a process"
)


def script(source: str, name: str = "bad") -> Script:
    return Script(name, f"checksum of {source}", source)


def frame(points: int = 1) -> dict[str, Any]:
    usage = [
        {
            "vol": {"unit": "instance", "qty": Decimal("1.50")},
            "rating": {"price": Decimal("0.1")},
            "groupby": {"project_id": "P", "id": str(number)},
            "metadata": {"vcpus": 4},
        }
        for number in range(points)
    ]
    period = {"begin": NEW_YEAR, "end": NEW_YEAR + datetime.timedelta(hours=1)}
    return {"period": period, "usage": {"instance": usage}}


class Bench:
    def __init__(self) -> None:
        self.runner = Runner(LIMITS, workers=1)

    def run(self, *sources: str, data: Any = None) -> Any:
        scripts = [script(source, f"s{number}") for number, source in enumerate(sources, 1)]
        return self.runner.run(scripts, frame() if data is None else data)

    def failure(self, *sources: str) -> str:
        """What is said about a script that fails; the next one runs well."""
        with pytest.raises(ScriptFailed) as caught:
            self.run(*sources)
        assert self.run("data = 'well'") == "well"
        return str(caught.value)

    def process(self) -> int:
        """The process that scripts are forked from."""
        [child] = self.runner._own_pool()._idle
        return child._process.pid


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.runner.close()


# What a script is given


def test_data_come_and_go_unchanged(bench: Bench) -> None:
    assert bench.run("pass") == frame()


def test_script_finds_amounts_instants_and_plain_maps(bench: Bench) -> None:
    found = bench.run(
        "point = data['usage']['instance'][0]\n"
        "data = [type(x).__name__ for x in (point['vol']['qty'], point['rating']['price'],\n"
        "        data['period']['begin'], point['groupby'], point['metadata'])]\n"
        "data.append(str(point['vol']['qty']))"
    )
    assert found == ["Decimal", "Decimal", "datetime", "dict", "dict", "1.50"]


def test_script_has_nothing_but_data(bench: Bench) -> None:
    found = bench.run("data = sorted(name for name in globals() if name != '__builtins__')")
    assert found == ["__name__", "data"]


def test_scripts_run_one_after_the_other_with_fresh_variables(bench: Bench) -> None:
    leave = "left = 1\ndata['usage']['instance'][0]['rating']['price'] = 0.1"
    look = "data = ('left' in globals(), data['usage']['instance'][0]['rating']['price'])"
    assert bench.run(leave, look) == [False, Decimal("0.1")]


def test_arithmetic_of_one_script_is_not_that_of_the_next(bench: Bench) -> None:
    change = "import decimal\ndecimal.getcontext().prec = 3"
    assert bench.run(change, "from decimal import Decimal as D\ndata = D(1) / 3") == Decimal(
        "0.3333333333333333333333333333"
    )


def test_nothing_stays_for_the_next_frame(bench: Bench) -> None:
    spoil = "import builtins, decimal, json\nbuiltins.len = json.dumps = decimal.Decimal = None"
    with pytest.raises(ScriptFailed):
        bench.run(spoil + "\n1/0")
    look = "import decimal\ndata = [len('abc'), decimal.Decimal('1.5')]"
    assert bench.run(look) == [3, Decimal("1.5")]


def test_what_a_script_prints_is_lost(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.run("import sys\nprint('x' * 10**6)\nprint('y', file=sys.stderr)") == frame()
    assert capfd.readouterr() == ("", "")


def test_time_zones_that_a_script_names_can_be_used(bench: Bench) -> None:
    found = bench.run(
        "from zoneinfo import ZoneInfo\n"
        "def local(moment): return moment.astimezone(ZoneInfo('Europe/Paris'))\n"
        "data = str(local(data['period']['begin']))"
    )
    assert found == "2026-01-01 01:00:00+01:00"


@pytest.mark.parametrize("name", ["json", "statistics", "collections.abc", "datetime", "re"])
def test_modules_can_be_imported(bench: Bench, name: str) -> None:
    assert bench.run(f"import {name}\ndata = 'imported'") == "imported"


def test_times_can_be_parsed(bench: Bench) -> None:
    source = "from datetime import datetime\ndata = datetime.strptime('2026', '%Y').year"
    assert bench.run(source) == 2026


def test_scripts_are_compiled_once(bench: Bench) -> None:
    source = "\n".join(f"a{number} = [b for b in range(3)]" for number in range(3000)) + "\ndata=1"
    bench.run(source)
    begin = time.monotonic()
    assert bench.run(source) == 1
    begun_again = time.monotonic() - begin
    begin = time.monotonic()
    compile(source, "", "exec")
    assert begun_again < max(0.1, 3 * (time.monotonic() - begin))


# What a script cannot do

LOOP = "while True:\n    pass"
HUNGRY = "kept = []\nwhile True:\n    kept.append('x' * 10**6)"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (LOOP, "used more than 1 s of processor time"),
        (HUNGRY, "line 3: MemoryError"),
        ("x = 'x' * 10**10", "line 1: MemoryError"),
        ("def f():\n    f()\nf()", "line 2: RecursionError: maximum recursion"),
        ("a = 1\n\nb = a / 0", "line 3: ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError('price')\nf()", "line 2: KeyError: 'price'"),
        ("import sys\nsys.exit(0)", "line 2: a script must not exit"),
        ("raise SystemExit", "line 1: a script must not exit"),
        ("raise KeyboardInterrupt", "line 1: KeyboardInterrupt"),
        ("class E(Exception):\n    __str__ = None\nraise E", "line 3: E"),
        ("import os\nos._exit(0)", "its process ended before the script did"),
        ("import socket", "line 1: ModuleNotFoundError: scripts cannot import socket"),
        ("import cloudkitty.config", "scripts cannot import"),
        ("del data", "data was deleted"),
        ("data = print", "cannot be part of data"),
        ("data = {1, 2}", "a set cannot be part of data"),
        ("data = [0]\ndata[0] = data", "Circular reference"),
        ("data = '\\ud800'", "surrogates not allowed"),
        ("data = '\\0'", "has a character that cannot be kept"),
        ("data = 'x' * 6 * 10**6", "left too much data"),
        ("def f(:", "line 1: SyntaxError"),
    ],
)
def test_script_that_fails(bench: Bench, source: str, said: str) -> None:
    message = bench.failure(source)
    assert message.startswith("script s1")
    assert said in message


def test_script_that_only_waits_is_out_of_time() -> None:
    impatient = Runner(Limits(cpu_time=1, wall_time=1, memory=192), workers=1)
    begin = time.monotonic()
    with pytest.raises(ScriptFailed, match="script bad, line 2: not done after 1 s"):
        impatient.run([script("import time\ntime.sleep(100)")], frame())
    assert time.monotonic() - begin < 3
    impatient.close()


def test_failure_names_the_script(bench: Bench) -> None:
    assert bench.failure("pass", "a = 1\n1 / 0", "pass").startswith("script s2, line 2: Zero")
    assert bench.failure("pass", "data = None", "pass").startswith("script s2: frame: must be")
    assert bench.failure("pass", "import os\nos._exit(3)").startswith("script s2: its process")


def test_script_that_catches_everything_is_ended_all_the_same(bench: Bench) -> None:
    stubborn = (
        "def again():\n"
        "    while True:\n"
        "        try:\n"
        "            again_and_again()\n"
        "        except BaseException:\n"
        "            pass\n"
        "def again_and_again():\n"
        "    while True:\n"
        "        pass\n"
        "while True:\n"
        "    try:\n"
        "        again()\n"
        "    except BaseException:\n"
        "        pass"
    )
    assert bench.failure(stubborn).startswith("script s1")


@CONFINED
@pytest.mark.parametrize(
    "call",
    [
        "os.fork()",
        "os.kill(os.getppid(), 9)",
        "os.kill(-1, 9)",
        "open('/etc/hostname')",
        "open('/dev/shm/left-by-a-script', 'w')",
        "os.remove('/dev/shm/nothing')",
        "os.mkdir('/dev/shm/left-by-a-script')",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.system('true') and 1 / 0",
        "os.pipe()",
        "os.listdir('/proc')",
        "os.setuid(0)",
        "sys.modules['signal'].setitimer(0, 100)",
        "sys.modules['resource'].setrlimit(sys.modules['resource'].RLIMIT_CPU, (99, 99))",
        "sys.modules['_thread'].start_new_thread(print, ())",
    ],
)
def test_script_cannot_reach_beyond_its_process(bench: Bench, call: str) -> None:
    process = bench.process()
    assert "line 2: " in bench.failure(f"import os, sys\n{call}")
    assert bench.process() == process


def test_files_cannot_be_opened_where_the_kernel_does_not_refuse(tmp_path: pathlib.Path) -> None:
    """What holds on every system holds without the filter of calls."""
    program = (
        "import os, sys\n"
        "from cloudkitty.rating.pyscripts.sandbox import Limits, Sandbox\n"
        "box = Sandbox()\n"
        "box._filter = b''\n"
        "box.enter(Limits(1, 2, 192))\n"
        "try:\n"
        "    open(sys.argv[1], 'w')\n"
        "except OSError as error:\n"
        "    os.write(1, str(error).encode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "file")],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"Too many open files" in done.stdout


def test_script_finds_no_secret_in_its_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_PASSWORD", "secret")
    fresh = Bench()
    found = fresh.run("import os\ndata = dict(os.environ)")
    fresh.runner.close()
    assert set(found) <= {"LC_ALL", "PYTHONHASHSEED", "LD_LIBRARY_PATH"}


def test_script_finds_no_open_file_but_its_pipe(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        fresh = Bench()
        found = fresh.run(
            "import os\n"
            "open_ones = []\n"
            "for number in range(1000):\n"
            "    try:\n"
            "        os.write(number, b'')\n"
            "        open_ones.append(number)\n"
            "    except OSError:\n"
            "        pass\n"
            "data = open_ones"
        )
        fresh.runner.close()
    assert len(found) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import os\nfor number in range(100):\n    try: os.close(number)\n    except OSError: pass",
        "import os\nfor number in range(100):\n"
        "    try: os.write(number, b'=[1, 2')\n    except OSError: pass\nos._exit(0)",
        "import os\nfor number in range(100):\n"
        "    try: os.write(number, b'!rubbish')\n    except OSError: pass\nos._exit(0)",
        "import os\nfor number in range(100):\n"
        "    try: os.write(number, b'\\xff' * 10**7)\n    except OSError: pass",
    ],
)
def test_script_that_writes_into_the_pipe_itself(bench: Bench, source: str) -> None:
    assert "script" in bench.failure(source)


# Processes


def test_process_that_died_is_replaced(bench: Bench) -> None:
    bench.run("pass")
    process = bench.process()
    os.killpg(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert bench.run("pass") == frame()
    assert bench.process() != process


def test_process_that_dies_meanwhile_fails_that_frame_only(bench: Bench) -> None:
    bench.run("pass")
    process = bench.process()

    def kill() -> None:
        """As soon as the script runs, in a process of its own."""
        deadline = time.monotonic() + commands.BOUND
        while not commands.children(process) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process, signal.SIGKILL)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        assert "their process has ended" in bench.failure("import time\ntime.sleep(50)")
        killed.result()


def test_process_that_does_not_answer_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run("pass")
    process = bench.process()
    monkeypatch.setattr(runner_module, "PATIENCE", 0.5 - LIMITS.wall_time)
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(ScriptFailed, match="does not answer"):
        bench.run("pass")
    assert not pathlib.Path(f"/proc/{process}").exists()


def _ended(process: int, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        state = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_processes_end_with_a_runner_that_is_forgotten() -> None:
    fresh = Bench()
    fresh.run("pass")
    process = fresh.process()
    del fresh
    gc.collect()
    assert _ended(process)


def test_processes_end_with_their_parent_even_if_it_is_killed() -> None:
    program = (
        "import time\n"
        "from cloudkitty.tests.functional.test_pyscripts_runner import Bench\n"
        "bench = Bench()\n"
        "bench.run('pass')\n"
        "print(bench.process(), flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        assert not _ended(process, 0)
        parent.kill()
        assert _ended(process)


def test_runner_made_before_a_fork_has_processes_of_its_own_after_it(bench: Bench) -> None:
    bench.run("pass")
    theirs = bench.process()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert bench.run("data = 1") == 1
            assert bench.process() != theirs
            bench.runner.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert bench.run("pass") == frame()
    assert bench.process() == theirs


def test_threads_share_a_few_processes() -> None:
    shared = Runner(LIMITS, workers=2)
    source = script("data = data + 1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: shared.run([source], n), range(40))) == list(range(1, 41))
    assert 1 <= len(shared._own_pool()._idle) <= 2
    shared.close()
    assert shared.run([source], 1) == 2
    shared.close()


def test_interpreter_is_python_whatever_runs_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runner_module._interpreter() == sys.executable
    monkeypatch.setattr(sys, "executable", "/usr/sbin/some-web-server")
    assert pathlib.Path(runner_module._interpreter()).exists()
