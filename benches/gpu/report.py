"""The table of a run: what is wrong, what was checked, and times side by side."""
from machine import ms, task

CHECKS = ("test", "check", "parameters", "list")


def wrong(records):
    """checks that failed, a program that was stopped after a failure included."""
    return [r for r in records if r["kind"] in CHECKS and (r["status"] in ("failed", "crashed") or r.get("failed"))]


def unfinished(records):
    """what is not known: not measured, stopped, or without time."""
    return [r for r in records if r["status"] in ("stopped", "left out") or r["kind"] == "time" and r["status"] != "measured"]


def verdict(records):
    checks = [r for r in records if r["kind"] in CHECKS]
    bad, open_ends = wrong(records), unfinished(records)
    done = sum(r["status"] == "passed" for r in checks)
    tests = sum(r.get("passed", 0) for r in checks)
    parts = [f"FAILED: {len(bad)} of {len(checks)} checks" if bad else f"{done} of {len(checks)} checks passed, {tests} tests among them"]
    if open_ends:
        parts.append(f"INCOMPLETE: {len(open_ends)} of {len(records)} parts have no result")
    return "; ".join(parts)


def sides(records):
    """flowkit's first."""
    found = dict.fromkeys(r["side"] for r in records if r["kind"] == "time")
    return sorted(found, key=lambda side: side.startswith("torch"))


def ratios(records):
    """a row for each item: times of every side, and those of flowkit over the fastest of PyTorch."""
    rows = {}
    for r in records:
        if r["kind"] == "time":
            rows.setdefault(task(r["name"]), {}).setdefault(r["side"], []).append(r)
    table = []
    for name, at in rows.items():
        # Algorithms of one task: the fastest counts.
        best = {side: min((r for r in found if r["status"] == "measured"), key=lambda r: r["median_s"], default=None) for side, found in at.items()}
        peers = [r["median_s"] for side, r in best.items() if r and side.startswith("torch")]
        fastest = min(peers, default=None)
        row = dict(item=name, median_s={side: r["median_s"] if r else None for side, r in best.items()},
                   device_mb={side: r["device_mb"] for side, r in best.items() if r and "device_mb" in r}, ratio={})
        for side, r in best.items():
            if r and fastest and not side.startswith("torch"):
                row["ratio"][side] = r["median_s"] / fastest
        table.append(row)
    return table


def table(rows):
    head, *body = [[str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def cell(record):
    """a test program or a check, in few words."""
    if record is None:
        return "-"
    if record["kind"] == "test" and "passed" in record:
        words = "passed" if record["status"] == "passed" else f"passed, {record['status'].upper()}"
        return f"{record['passed']} {words}" + (f" {record['failed']}" if record.get("failed") else "")
    return record["status"] if record["status"] in ("passed", "left out") else record["status"].upper()


def correctness(records):
    backends = list(dict.fromkeys(r["side"] for r in records if r["kind"] == "test"))
    names = list(dict.fromkeys(r["name"] for r in records if r["kind"] == "test"))
    found = {(r["side"], r["name"]): r for r in records if r["kind"] == "test"}
    words = {r["name"]: f" ({r['filter']})" for r in records if r["kind"] == "test" and r["filter"]}
    rows = [["test program", *backends]]
    rows += [[name + words.get(name, ""), *(cell(found.get((side, name))) for side in backends)] for name in names]
    checks = ["items beside float64 or themselves"]
    for side in backends:
        own = [r for r in records if r["side"] == side and r["kind"] == "check"]
        checks.append(f"{sum(r['status'] == 'passed' for r in own)} of {len(own)}")
    sizes = [r for r in records if r["kind"] == "parameters"]
    rows.append(checks)
    same = f"{sum(r['status'] == 'passed' for r in sizes)} of {len(sizes)}" if sizes else "not compared"
    rows.append(["parameters of the models, beside PyTorch's", same, *[""] * (len(backends) - 1)])
    return table(rows)


def times(records):
    all_sides = sides(records)
    own = [side for side in all_sides if not side.startswith("torch")]
    compared = own if len(own) < len(all_sides) else []
    rows = [["item", *(f"{side} ms" for side in all_sides), *(f"{side} MB" for side in all_sides), *(f"{side} / fastest PyTorch" for side in compared)]]
    for row in ratios(records):
        cells = [row["item"]]
        for side in all_sides:
            if side in row["median_s"]:
                cells.append("none" if row["median_s"][side] is None else ms(row["median_s"][side]))
            else:
                cells.append("-")
        cells += [f"{row['device_mb'][side]:.0f}" if side in row["device_mb"] else "-" for side in all_sides]
        cells += [f"{row['ratio'][side]:.2f}" if side in row["ratio"] else "-" for side in compared]
        rows.append(cells)
    return table(rows)


def markdown(header, records):
    """everything, what is wrong first."""
    devices = ", ".join(f"{side}: {name}" for side, name in header["devices"].items()) or "no device said its name"
    parts = [f"# {verdict(records)}", devices]
    if header["software"]:
        parts.append("A device here is software that stands in for a GPU: no time below is one of a GPU.")
    if header["tiny"]:
        parts.append("One call of each item, compilation included (`--tiny`): no time below is a measurement.")
    if not header["torch_device"]:
        parts.append("No interpreter with PyTorch was named: its columns are absent.")
    parts += [correctness(records), times(records)]
    parts.append("Medians. MB is what the allocator of the device had reserved; flowkit's includes the initialisation. \"none\": see below. TF32 is off. "
                 "Of a preset's step PyTorch compiles what repeats: the blocks of the networks and the mixture.")
    bad, open_ends = wrong(records), unfinished(records)
    for title, found in (("Failed", bad), ("Without a result", [r for r in open_ends if r not in bad])):
        if found:
            parts.append(f"## {title}\n" + "\n".join(f"* {r['side']}, {r['kind']} `{r['name']}`: {r['status']}, {r.get('error', '')[:400]}" for r in found))
    facts = [f"{key}: {value}" for key, value in header.items() if key not in ("devices", "software", "builds")]
    facts += [f"{side}: {', '.join(f'{key} {value}' for key, value in build.items())}" for side, build in header["builds"].items()]
    parts.append("## Run\n" + "\n".join(f"* {fact}" for fact in facts))
    return "\n\n".join(parts)
