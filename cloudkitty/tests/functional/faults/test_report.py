# SPDX-License-Identifier: Apache-2.0
"""The table of the fault matrix."""

import json
import pathlib

from cloudkitty.tests.functional.faults import report


def test_results_become_a_table_in_a_page(tmp_path: pathlib.Path) -> None:
    def result(fault: str, **more: object) -> str:
        told = {"fault": fault, "database": "sqlite", "lost": 0, "doubled": 0, "different": 0}
        value = json.dumps({**told, "seconds": 0.25, **more}).replace('"', "&quot;")
        return f'<testcase><properties><property name="fault" value="{value}"/></properties>'

    found = tmp_path / "results.xml"
    cases = [result("killed"), result("killed", lost=2, seconds=1.5), result("cut", doubled=1)]
    found.write_text(f"<testsuite>{'</testcase>'.join(cases)}</testcase></testsuite>")
    page = tmp_path / "page.rst"
    page.write_text("Faults\n\n.. faults: begin\n\nold\n\n.. faults: end\n\nMore\n")
    report.main(str(page), str(found))
    assert page.read_text() == (
        "Faults\n\n.. faults: begin\n\n"
        "======  ========  ====  ====  =======  =========  =======\n"
        "Fault   Database  Runs  Lost  Doubled  Different  Seconds\n"
        "======  ========  ====  ====  =======  =========  =======\n"
        "cut     SQLite    1     0     1        0          0.2\n"
        "killed  SQLite    2     2     0        0          1.5\n"
        "======  ========  ====  ====  =======  =========  =======\n"
        "\n.. faults: end\n\nMore\n"
    )
