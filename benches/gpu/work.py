"""The parts of a run: each starts programs, none of them for longer than its share of the time, and writes a record of every one."""
import collections, json, os, re, signal, subprocess, tempfile, time

from machine import ROOT, say, task

# Conformance, golden values, the round trip of the CIFAR-10 preset; then kernel by kernel, as far as the time goes.
TESTS = ("golden", "bijectors", "cifar10_round_trip", "device", "training_kernels", "network_kernels", "kernels", "attention", "norm_kernels",
         "exact_products", "spline_kernels", "plu_kernels", "inverse_kernels", "scaled_conv2d", "mixture_coupling", "kernel_operands",
         "cases", "extremes")
PROGRAMS = ("kernels", "models")
PRESET = "c.flowpp.train.cifar10_preset"
# What --tiny does instead: filters of the test programs, items, the step of the tiny preset.
TINY_TESTS = {"golden": "affine_coupling", "bijectors": "act_norm", "device": "round_trip"}
TINY_ITEMS = ("a.mixlog.fwd.49k", "b.cond.fwd.f32b2", "d.glow.eval", "e.toy2d.eval", "f.conv1x1.plain.fwdbwd")
TINY_PRESET = "c.flowpp.train.tiny_preset"
# Seconds that one program may take, and below which none is started.
LIMIT, LEAST = 120, 3
# The peers' Glow has other networks.
OTHER_SIZES = re.compile(r"^d\.")
# Sides take the files of the tests from here, wherever they were built.
FILES = dict(FLOWKIT_GOLDEN=ROOT / "tests/golden", FLOWKIT_CASES=ROOT / "tests/cases/mixlogcdf_cases.json",
             FLOWKIT_DIGITS=ROOT / "tests/cases/mixture_digits.json")

Outcome = collections.namedtuple("Outcome", "status out err seconds")


def call(command, limit, cwd=ROOT, **env):
    """runs a program with all that it starts; status None: it was stopped after `limit` seconds."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        child = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, cwd=cwd, start_new_session=True,
                                 env={**os.environ, **{key: str(value) for key, value in env.items()}})
        try:
            status = child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        texts = [file.seek(0) or file.read() for file in (out, err)]
    return Outcome(status, *texts, round(time.monotonic() - start, 2))


def last_words(text, most=400):
    """the message of a panic, or the end of what was said."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not re.search("RUST_BACKTRACE|XDG_RUNTIME_DIR", line)]
    panic = next((n for n, line in enumerate(lines) if "panicked at" in line), None)
    return " / ".join(lines[-6:])[-most:] if panic is None else " ".join(lines[panic + 1:panic + 5])[:most]


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Run:
    """what has been recorded, and the time that is left."""

    def __init__(self, args, save):
        self.args, self.save = args, save
        self.start, self.records = time.monotonic(), []
        self.threads = len(os.sched_getaffinity(0))

    def add(self, **record):
        self.records.append(record)
        shown = record.get("error") or (f"{1e3 * record['median_s']:.2f} ms" if "median_s" in record else "")
        say(f"{time.monotonic() - self.start:5.0f} s  {record['side']:14s} {record['kind']:10s} {record['name']:28s} {record['status']} {shown[:90]}")
        self.save(self.records)

    def timed(self, deadline, record, command, judge, **more):
        """one program and its record; `judge` says what its output means."""
        left = deadline - time.monotonic()
        if left < LEAST:
            return self.add(**record, status="left out", error="its share of the time was over")
        limit = min(left, LIMIT)
        try:
            outcome = call(command, limit, **more)
        except OSError as error:
            return self.add(**record, status="crashed", error=f"{command[0]}: {error.strerror}")
        if outcome.status is None:
            found = dict(status="stopped", error=f"not finished after {limit:.0f} s", **done_tests(outcome))
        else:
            found = judge(outcome)
        self.add(**record, seconds=outcome.seconds, **found)

    # -------------------------------------------------------------- flowkit
    def program(self, backend, name):
        return self.args.programs / backend / name

    def tests(self, backend, deadline):
        filters = TINY_TESTS if self.args.tiny else dict.fromkeys(TESTS, "")
        for name, words in filters.items():
            record = dict(side=backend, kind="test", name=name, filter=words)
            self.timed(deadline, record, [self.program(backend, name), *words.split()], judge_test, cwd=ROOT / "tests", BURN_DEVICE=backend,
                       FLOWKIT_REQUIRE_DEVICE=1, **FILES)

    def list_items(self, backend):
        """{item: its program} in the order of importance."""
        found = {}
        for program in PROGRAMS:
            try:
                listed = call([self.program(backend, program), "--list", "--large"], LIMIT)
            except OSError as error:
                listed = Outcome(1, "", error.strerror, 0)
            if listed.status != 0:
                self.add(side=backend, kind="list", name=program, status="crashed", error=last_words(listed.err))
                continue
            found.update({item: self.program(backend, program) for item in listed.out.split()})
        return dict(sorted(found.items(), key=lambda entry: importance(entry[0])))

    def item(self, backend, item, program, deadline):
        """its check, then its speed, which is measured whatever the check says. A preset's speed is first: the round trip was its check."""
        once = ["--smoke"] if self.args.tiny else []
        phases = [("check", judge_check), ("time", judge_time)]
        for phase, judge in reversed(phases) if item in (PRESET, TINY_PRESET) else phases:
            self.timed(deadline, dict(side=backend, kind=phase, name=item), [program, "--item", item, "--phase", phase, "--budget",
                       self.args.budget, *once], judge, BURN_DEVICE=backend, BENCH_WARM=3, BENCH_HARD=6)

    # -------------------------------------------------------------- PyTorch
    def torch(self, mode, items, deadline):
        """all items in one process, as far as the time goes."""
        args, side = self.args, f"torch {mode}"
        left = deadline - time.monotonic()
        if left < LEAST:
            for item in items:
                self.add(side=side, kind="time", name=item, status="left out", error="its share of the time was over")
            return
        command = [args.python, ROOT / "benches/peers/bench_torch.py", "--items", ",".join(items), "--modes", mode, "--device", args.torch_device,
                   "--threads", self.threads, "--budget", args.budget, "--out", "-", *(["--once"] if args.tiny else [])]
        done = call(command, left, TORCHINDUCTOR_COMPILE_THREADS=self.threads, BENCH_WARM=3, BENCH_HARD=6)
        found = {line["item"]: line for line in lines_of(done.out)}
        stopped = done.status is None
        for item in items:
            record = dict(side=side, kind="time", name=item)
            if item in found:
                line = found[item]
                self.add(**record, status="failed" if "error" in line else "measured", **strip(line))
            elif stopped:
                # The first without a line was at work.
                self.add(**record, status="stopped", error=f"not finished after {done.seconds:.0f} s with the items before it")
                stopped = None
            elif stopped is None:
                self.add(**record, status="left out", error="its share of the time was over")
            else:
                self.add(**record, status="crashed", error=last_words(done.err) or f"status {done.status}")

    def list_torch(self, tasks):
        """{mode: items that do one of `tasks`}, in the order of importance."""
        listed = call([self.args.python, ROOT / "benches/peers/bench_torch.py", "--list", "--large", "--filter", "@own$"], LIMIT)
        if listed.status != 0:
            self.add(side="torch", kind="list", name="bench_torch.py", status="crashed", error=last_words(listed.err))
        found = {"eager": [], "compile": []}
        for line in listed.out.splitlines() if listed.status == 0 else []:
            item, _, mode = line.split()
            if task(item) in tasks:
                found[mode].append(item)
        return {mode: sorted(items, key=importance) for mode, items in found.items()}

    def compare_sizes(self):
        """models that are compared have as many parameters."""
        counts = collections.defaultdict(dict)
        for record in self.records:
            if record["kind"] == "time" and "params" in record and not OTHER_SIZES.match(record["name"]):
                counts[record["name"]][record["side"]] = record["params"]
        for item, found in counts.items():
            if len(found) > 1:
                same = len(set(found.values())) == 1
                text = {} if same else dict(error=", ".join(f"{side} {n:,}" for side, n in found.items()))
                self.add(side="all", kind="parameters", name=item, status="passed" if same else "failed", params=found, **text)


def importance(item):
    """training steps first, what others repeat in another shape last."""
    return "mnist" in item, "bisect" in item, ".train" not in item


def strip(line):
    """the fields of a benchmark's line that the record does not have."""
    return {key: value for key, value in line.items() if key not in ("item", "impl", "mode", "round") and value is not None}


def done_tests(outcome):
    """of a test program that was stopped."""
    passed, failed = (len(re.findall(rf"^test .* {word}$", outcome.out, re.M)) for word in ("ok", "FAILED"))
    return {key: n for key, n in (("passed", passed), ("failed", failed)) if n}


def judge_test(outcome):
    found = re.findall(r"^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", outcome.out, re.M)
    if not found:
        return dict(status="crashed", error=f"status {outcome.status}: {last_words(outcome.err)}")
    passed, failed, ignored = map(int, found[-1])
    counts = dict(passed=passed, failed=failed, ignored=ignored)
    if outcome.status == 0 and passed:
        return dict(status="passed", **counts)
    names = re.findall(r"^test (\S+).* FAILED$", outcome.out, re.M)
    messages = re.findall(r"panicked at .*\n(.*)", outcome.out + outcome.err)
    return dict(status="failed", **counts, error="; ".join(names + messages)[:1000] or "no test ran")


def broken(outcome):
    """of a benchmark's program: a panic, or an end by a signal."""
    words = last_words(outcome.err)
    if outcome.status > 0 and words:
        return dict(status="failed", error=words)
    return dict(status="crashed", error=f"status {outcome.status} {words}".strip())


def judge_check(outcome):
    lines = lines_of(outcome.out)
    if outcome.status == 0 and lines:
        return dict(status="passed", **lines[-1])
    return broken(outcome)


def judge_time(outcome):
    lines = lines_of(outcome.out)
    if outcome.status == 0 and lines:
        return dict(status="measured", **strip(lines[-1]))
    return broken(outcome)
