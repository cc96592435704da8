"""Fork-per-item timing harness: one JSON line per (item, mode, threads). The child resets VmHWM after set-up."""
import gc, json, os, resource, statistics as st, sys, time, traceback


def _vm(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024.0
    return float("nan")


def _reset_hwm():
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def _cpu():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return r.ru_utime + r.ru_stime


def _delay():
    """seconds this process's threads spent runnable but waiting for a CPU (other load on the machine)."""
    t = 0
    for tid in os.listdir("/proc/self/task"):
        try:
            t += int(open(f"/proc/self/task/{tid}/schedstat").read().split()[1])
        except (OSError, IndexError):
            pass
    return t * 1e-9


def _busy(dt=0.25):
    def rd():
        v = [int(t) for t in open("/proc/stat").readline().split()[1:9]]
        return sum(v), v[3] + v[4]
    a, i = rd(); time.sleep(dt); b, j = rd()
    return 1 - (j - i) / max(1, b - a)


def bind(threads):
    """binds this process to as many cores, the last ones, before a library makes its threads."""
    cores = sorted(os.sched_getaffinity(0))
    if threads <= len(cores):
        os.sched_setaffinity(0, cores[-threads:])


def gate(max_wait):
    """wait until the machine is quiet (<12% busy for 0.25 s) or max_wait seconds passed. -> seconds waited, quiet?"""
    t0 = time.perf_counter()
    while True:
        if _busy() < 0.12:
            return time.perf_counter() - t0, True
        if time.perf_counter() - t0 > max_wait:
            return time.perf_counter() - t0, False


class Cpu:
    """the device of the calls: nothing is pending when a call returns, and the memory is the process's."""

    def sync(self):
        pass

    def reset_peak(self):
        pass

    def notes(self):
        """fields of the line: the device, and the most memory that it held."""
        return {}


def measure(fn, budget=2.0, min_n=5, max_n=40, warm=2, max_wait=None, hard=None, once=False, device=Cpu()):
    """Wall-clock per call, which ends when the device has done its work. A sample is 'clean' if the process waited for a CPU
    < 3% of it. median_s is over the clean samples when there are >= 3 of them (clean_n), else over all (median_all_s is
    always over all). BENCH_WARM=N calls precede the one whose time decides how often the item is repeated (1). With `once`
    the first call, with all that it compiles, is the only one."""
    max_wait = float(os.environ.get("BENCH_GATE", "0")) if max_wait is None else max_wait
    hard = float(os.environ.get("BENCH_HARD", "12")) if hard is None else hard

    def call():
        d0, c0, t0 = _delay(), _cpu(), time.perf_counter()
        fn()
        device.sync()
        t = time.perf_counter() - t0
        return t, _cpu() - c0, (_delay() - d0) / t

    device.sync()
    samples = [call()]
    first = last = samples[0][0]
    waited, quiet, rss0 = 0.0, None, _vm("VmRSS")
    if not once:
        for _ in range(int(os.environ.get("BENCH_WARM", "1")) - 1):
            last = call()[0]
        gc.collect()
        waited, quiet = gate(max_wait) if max_wait > 0 else (0.0, None)
        _reset_hwm()
        device.reset_peak()
        rss0 = _vm("VmRSS")
        one = call()[0] if last < 8.0 else last
        if one > 3.0:
            warm, min_n = 0, (3 if one < 15 else 2)
        for _ in range(max(0, warm - 1)):
            call()
        samples, start = [], time.perf_counter()
        while True:
            samples.append(call())
            n, el = len(samples), time.perf_counter() - start
            nclean = sum(d < 0.03 for _, _, d in samples)
            if n >= min_n and ((el >= budget and nclean >= min_n) or nclean >= max_n or el >= hard or n >= 400):
                break
    ts, cs, ds = zip(*samples)
    clean = [t for t, d in zip(ts, ds) if d < 0.03]
    use = sorted(clean if len(clean) >= 3 else ts)
    q = lambda v, f: v[min(len(v) - 1, int(f * len(v)))]
    return dict(median_s=st.median(use), min_s=min(ts), p25=q(use, .25), p75=q(use, .75), median_all_s=st.median(ts),
                cpu_s=st.median(cs), cpu_min_s=min(cs), n=len(ts), clean_n=len(clean), delay_frac=round(st.median(ds), 3),
                first_s=first, quiet=quiet, waited_s=round(waited, 1), rss_before_mb=round(rss0, 1),
                peak_rss_mb=round(_vm("VmHWM"), 1), **device.notes())


def run_forked(meta, setup, pre=None, timeout=600, out=sys.stdout, **kw):
    """setup() -> (fn, extra dict). Runs in a forked child; prints a JSON line."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        try:
            import signal
            signal.alarm(timeout)
            if pre:
                pre()
            fn, extra = setup()
            post = extra.pop("_post", None)
            res = {**meta, **measure(fn, **kw), **extra}
            if post:
                res.update(post())
        except BaseException as e:
            res = {**meta, "error": f"{type(e).__name__}: {str(e)[:300]}"}
            if os.environ.get("BENCH_TB"):
                traceback.print_exc()
        res["load1"] = round(os.getloadavg()[0], 2)
        os.write(w, (json.dumps(res) + "\n").encode())
        os._exit(0)
    os.close(w)
    data = b""
    while True:
        chunk = os.read(r, 65536)
        if not chunk:
            break
        data += chunk
    os.close(r)
    _, status = os.waitpid(pid, 0)
    line = data.decode() or json.dumps({**meta, "error": f"child died, status {status}"}) + "\n"
    out.write(line)
    out.flush()
    return json.loads(line)
