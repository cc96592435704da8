#!/usr/bin/env python3
"""Tests of `run` with programs that pass, fail, crash and hang, in ten seconds and without a device: python3 benches/gpu/test_run.py"""
import json, subprocess, sys, tempfile, time, unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]
import work

PASSES = 'echo "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"'
FAILS = 'echo "test b ... FAILED"; echo "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out"; exit 101'
HANGS = 'echo "test a ... ok"; sleep 100 & echo $! >"$0.pid"; wait'
BENCH = """case "$*" in
    *--list*) printf '%s\\n' {items} ;;
    *check*) {check} ;;
    *) {time} ;;
esac"""
GOOD = dict(check="""echo '{"max_err": 1e-6}'""", time="""echo '{"median_s": 0.5, "n": 5, "device": "none"}'""")


class Runs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        (self.root / "fake").mkdir()
        (self.root / "fake/build.json").write_text("{}")
        for name in work.TINY_TESTS:
            self.program(name, PASSES)
        self.bench("kernels")
        self.bench("models")

    def program(self, name, body):
        path = self.root / "fake" / name
        path.write_text("#!/bin/sh\n" + body + "\n")
        path.chmod(0o755)

    def bench(self, name, **how):
        items = [i for i in (*work.TINY_ITEMS, work.TINY_PRESET) if (i[0] in "cde") == (name == "models")]
        self.program(name, BENCH.format(items=" ".join(items), **{**GOOD, **how}))

    def run_it(self, *more, minutes=8):
        out = self.root / "out.json"
        done = subprocess.run([HERE / "run", "--programs", self.root, "--tiny", "--minutes", str(minutes), "--out", out, *more], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done, json.loads(out.read_text())

    def of(self, result, kind, name):
        return next(r for r in result["records"] if (r["kind"], r["name"]) == (kind, name))

    def test_all_is_well(self):
        done, result = self.run_it("--complete")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue(done.stdout.startswith("# 9 of 9 checks passed, 9 tests among them\n"), done.stdout)
        self.assertEqual({row["item"]: row["median_s"]["fake"] for row in result["ratios"]}, dict.fromkeys((*work.TINY_ITEMS, work.TINY_PRESET), 0.5))

    def test_a_failure_is_said_first_and_speed_is_measured(self):
        self.program("golden", FAILS)
        self.bench("models", check="echo 'thread main panicked at x.rs:1:' >&2; echo 'wrong by 3' >&2; exit 101")
        done, result = self.run_it()
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith("# FAILED: 4 of 9 checks\n"), done.stdout)
        self.assertEqual(self.of(result, "test", "golden")["error"], "b")
        self.assertEqual(self.of(result, "check", work.TINY_PRESET)["error"], "wrong by 3")
        self.assertEqual(self.of(result, "time", work.TINY_PRESET)["status"], "measured")

    def test_a_crash_is_a_line(self):
        self.program("device", "kill -SEGV $$")
        self.bench("models", time="kill -SEGV $$")
        done, result = self.run_it()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.of(result, "test", "device")["status"], "crashed")
        self.assertEqual(self.of(result, "time", work.TINY_PRESET)["status"], "crashed")
        self.assertEqual(self.of(result, "time", work.TINY_ITEMS[0])["status"], "measured")

    def test_what_hangs_is_stopped_with_its_children_and_the_rest_is_named(self):
        self.program("golden", HANGS)
        start = time.monotonic()
        done, result = self.run_it(minutes=0.2)
        self.assertLess(time.monotonic() - start, 14)
        self.assertEqual(done.returncode, 0, done.stdout)
        golden = self.of(result, "test", "golden")
        self.assertEqual((golden["status"], golden["passed"]), ("stopped", 1))
        self.assertEqual(self.of(result, "test", "device")["status"], "left out")
        self.assertEqual(self.of(result, "time", work.TINY_PRESET)["status"], "measured")
        child = Path("/proc", (self.root / "fake/golden.pid").read_text().strip(), "stat")
        self.assertTrue(not child.exists() or ") Z " in child.read_text())
        shown = subprocess.run([HERE / "run", "--show", self.root / "out.json", "--complete"], text=True, stdout=subprocess.PIPE)
        self.assertEqual((shown.returncode, shown.stdout), (1, done.stdout))

    def test_a_program_without_its_items_is_no_success(self):
        self.program("kernels", "exit 3")
        done, result = self.run_it("--complete")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.of(result, "list", "kernels")["status"], "crashed")
        self.assertEqual(self.of(result, "time", work.TINY_ITEMS[0])["status"], "left out")

    def test_other_numbers_of_parameters_are_a_failure(self):
        run = work.Run(None, lambda records: None)
        for side, n in (("vulkan", 5), ("torch eager", 6)):
            run.records.append(dict(side=side, kind="time", name=work.PRESET, params=n, status="measured"))
        run.compare_sizes()
        self.assertEqual(run.records[-1]["status"], "failed")


if __name__ == "__main__":
    unittest.main()
