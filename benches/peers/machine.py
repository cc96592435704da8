"""What the programs that measure in turns share: the machine, the commit, what cargo built, and items that do the same work."""
import json, os, re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def task(item):
    """items that differ in the algorithm alone: an inverse by bisection or by Newton steps."""
    return re.sub(r"(inv|sample)_(bisect|newton)", r"\1", item)


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def ms(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 0.1 else f"{1e3 * seconds:.0f}"


def output(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, text=True, stdout=subprocess.PIPE, cwd=ROOT, **more).stdout


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def words(name):
    """a name as a folder's."""
    return "-".join(re.findall(r"[a-z0-9.]+", re.sub(r"\((R|TM)\)|CPU|Processor|@.*", " ", name).lower()))


def machine_name():
    return f"{words(processor())}-{os.cpu_count()}-cores"


def hardware():
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo"))
    return dict(processor=processor(), cores=os.cpu_count(), memory_gb=round(memory / 2 ** 20, 1),
                system=" ".join(os.uname()[i] for i in (0, 2)))


def source():
    """the commit, whether files that count differ from it, and the compiler."""
    dirty = output("git", "status", "--porcelain", "--", "src", "benches", "Cargo.lock").strip()
    return dict(commit=output("git", "rev-parse", "--short", "HEAD").strip(), changed=bool(dirty),
                rustc=output("rustc", "--version").strip())


def build(*command):
    """runs cargo without running what it builds; {name: path} of the tests and benchmarks."""
    found = {}
    for line in output("cargo", *command, "--no-run", "--message-format=json").splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["kind"][0] in ("bench", "test"):
            found[message["target"]["name"]] = message["executable"]
    return found
