# SPDX-License-Identifier: Apache-2.0
"""The suites of a build (as ctest lists them), runs of them in a machine, and their results as JUnit."""
import dataclasses
import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as xml

LINE = re.compile(r"\[ *(RUN|OK|FAILED|SKIPPED) *\] ([^\s,(]+\.[^\s,(]+)")
SKIPPED = 77  # a program's status when it lacks what it needs, as ctest is told, too
# GoogleTest's fixtures of whole suites and of the program fail outside of any test.
OUTSIDE = re.compile(r"^\S+:\d+: Failure$", re.MULTILINE)


@dataclasses.dataclass
class Suite:
    """A GoogleTest program with its arguments; what ctest has as many cases of one program is one suite."""
    name: str
    argv: list
    seconds: int
    labels: list
    env: dict


@dataclasses.dataclass
class Case:
    suite: str
    name: str
    verdict: str = "lost"  # ok, failed, skipped; lost when the program ended within it
    seconds: float = 0.0
    output: str = ""

    def reason(self):
        """Why it was skipped: the words of GTEST_SKIP, or of a program that skips as a whole."""
        lines = self.output.splitlines()
        if self.name == "program":
            return " ".join(lines[-1:])
        starts = [i for i, line in enumerate(lines) if line.endswith(": Skipped")]
        return " ".join(line for i in starts for line in lines[i + 1:i + 2] if line)


def listed(build):
    """The suites of a build directory."""
    text = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True, stdout=subprocess.PIPE).stdout
    suites = {}
    for test in json.loads(text)["tests"]:
        argv = test.get("command", [])
        if not any(word.startswith("--gtest_filter=") for word in argv):
            continue
        properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
        labels = properties.get("LABELS", [])
        if "e2e" not in labels:  # one case of a program: the program is the suite
            argv = argv[:1]
        name = test["name"] if "e2e" in labels else os.path.basename(argv[0])
        suites.setdefault(name, Suite(name, argv, int(properties.get("TIMEOUT", 1800)), labels,
                                       dict(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))))
    return list(suites.values())


class Output:
    """Takes a suite apart into cases while it runs; `on_case` gets each as it ends."""

    def __init__(self, suite, on_case):
        self.suite, self.on_case = suite, on_case
        self.cases, self.running, self.begun, self.rest = [], None, 0.0, ""
        self.outside = []

    def feed(self, data):
        *lines, self.rest = (self.rest + data.decode(errors="replace")).split("\n")
        for line in lines:
            self.line(line)

    def line(self, line):
        found = LINE.search(line)
        if found and found[1] == "RUN":
            self.running, self.begun = Case(self.suite, found[2]), time.monotonic()
        elif found and self.running and found[2] == self.running.name:
            self.running.output += line[:found.start()]
            self.end({"OK": "ok", "FAILED": "failed", "SKIPPED": "skipped"}[found[1]])
        elif self.running:
            self.running.output += line + "\n"
        else:
            self.outside.append(line)

    def end(self, verdict):
        case, self.running = self.running, None
        case.verdict, case.seconds = verdict, time.monotonic() - self.begun
        self.cases.append(case)
        self.on_case(case)

    def finish(self, result):
        """The program has ended: what it owes becomes a failed case, so that no end passes unseen."""
        if self.rest:
            self.line(self.rest)
        why = result.error or f"status {result.status}"
        if self.running:
            self.running.output += f"the program ended within this test: {why}\n"
            self.end("failed")
        elif not self.cases and result.status == SKIPPED:
            self.cases.append(Case(self.suite, "program", "skipped", output="\n".join(self.outside) + "\n"))
            self.on_case(self.cases[-1])
        elif not self.cases or (result.status != 0 and all(case.verdict != "failed" for case in self.cases)):
            self.cases.append(Case(self.suite, "program", "failed", output="\n".join(self.outside[-60:]) + f"\n{why}\n"))
            self.on_case(self.cases[-1])


def run(vm, suite, log_file, on_case, filters=None, env=None, factor=1):
    """Runs one suite in the machine, in a delegated scope of its own; returns its cases."""
    argv = [word for word in suite.argv if not (filters and word.startswith("--gtest_filter="))]
    if filters:
        argv.append("--gtest_filter=" + filters)
    output = Output(suite.name, on_case)
    with open(log_file, "wb") as log:
        def feed(data):
            log.write(data)
            log.flush()
            output.feed(data)
        result = vm.run(argv, seconds=suite.seconds * factor, env=suite.env | (env or {}), on_output=feed,
                        scope="berth-" + re.sub(r"\W", "-", suite.name))
    output.finish(result)
    return output.cases


def write_junit(file, name, cases):
    """The same shape as ctest's own report: one testsuite, its sums as attributes."""
    count = {verdict: sum(case.verdict == verdict for case in cases) for verdict in ("ok", "failed", "skipped")}
    suite = xml.Element("testsuite", name=name, tests=str(len(cases)), failures=str(count["failed"]), disabled="0",
                        skipped=str(count["skipped"]), time=f"{sum(case.seconds for case in cases):.3f}")
    for case in cases:
        entry = xml.SubElement(suite, "testcase", name=f"{case.suite}.{case.name}", classname=case.suite,
                               time=f"{case.seconds:.3f}", status={"ok": "run", "failed": "fail", "skipped": "notrun"}[case.verdict])
        if case.verdict == "failed":
            xml.SubElement(entry, "failure", message="failed")
        if case.verdict == "skipped":
            xml.SubElement(entry, "skipped", message=case.reason() or "skipped")
        # XML has no control characters.
        xml.SubElement(entry, "system-out").text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", case.output)
    xml.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
