#!/usr/bin/env python3
"""Values, gradients and roots of the MixLogCDF law where digits are easily lost, in 60 digits.

    python3 tests/cases/mixture_digits.py > tests/cases/mixture_digits.json         (mpmath 1.3)

alpha = tanh a, s_k = max(raw s_k, bound), q_k = e^-s_k, z_k = (x - mu_k) q_k, w_k = e^l_k, and sums over components
    F = sum w sig(z)      G = sum w sig(-z)      D = sum w sig(z) sig(-z) q      W = sum w
    t = ln F - ln G       z = e^alpha t + b      L = alpha + ln D + ln W - ln F - ln G
with the shares u, v, p, o of a component in F, G, D, W and c = u sig(-z) + v sig(z). Gradients, and their natural sizes, the sums of the
absolute terms:
              of z                                      of L                                        size for z            size for L
    l_k       e^alpha (u - v)                           p + o - u - v                               e^alpha (u + v)       p + o + u + v
    z_k       e^alpha c                                 p (sig(-z) - sig(z)) - u sig(-z) + v sig(z) e^alpha c             p + c
    mu_k      -q times that of z_k                                                                  q times that of z_k
    s_k       -z_k times that of z_k, less p for L; 0 where raw s_k is below the bound              |z_k| times, plus p for L
    x         the sum of -1 times those of mu                                                       the sum of those of mu
    a         e^alpha t (1 - alpha^2)                   1 - alpha^2                                 e^alpha (1 + |t|) ... 1 - alpha^2
    b         1                                         0                                           1                     0
`slack` is by how much relative errors of one rounding in z_k, l_k and s_k change the shares of a component, in roundings.

A root comes with the interval [low, high] of the x that a precision cannot tell from it: t(x) is within 8 roundings of 1 + |t| of t, and then x
may move by 8 roundings of x and of its distance from the means that decide.
"""
import json, math, random, struct
from mpmath import mp, mpf, exp, log, tanh

mp.dps = 60
EPS = {"single": 2.0**-23, "double": 2.0**-52}


def single(v):
    return struct.unpack("f", struct.pack("f", v))[0]


def sig(z):
    return 1 / (1 + exp(-z)) if z >= 0 else exp(z) / (1 + exp(z))


class Law:
    def __init__(self, theta):
        self.l, self.mu, raw = theta["logits"], theta["means"], theta["log_scales"]
        bound = theta["min_log_scale"]
        self.free = [r >= bound for r in raw]
        self.s = [mpf(max(r, bound)) for r in raw]
        self.q = [exp(-s) for s in self.s]
        self.w = [exp(mpf(l)) for l in self.l]
        self.k = range(len(raw))

    def sums(self, x):
        z = [(mpf(x) - mpf(self.mu[k])) * self.q[k] for k in self.k]
        up, dn = [sig(v) for v in z], [sig(-v) for v in z]
        F = sum(self.w[k] * up[k] for k in self.k)
        G = sum(self.w[k] * dn[k] for k in self.k)
        return z, up, dn, F, G

    def t(self, x):
        _, _, _, F, G = self.sums(x)
        return log(F) - log(G)

    def terms(self, x):
        z, up, dn, F, G = self.sums(x)
        h = [self.w[k] * up[k] * dn[k] * self.q[k] for k in self.k]
        D, W = sum(h), sum(self.w)
        u, v = [self.w[k] * up[k] / F for k in self.k], [self.w[k] * dn[k] / G for k in self.k]
        p, o = [h[k] / D for k in self.k], [self.w[k] / W for k in self.k]
        return z, up, dn, u, v, p, o, log(F) - log(G), log(D) + log(W) - log(F) - log(G)

    def root(self, t):
        ends = [mpf(self.mu[k]) + t / self.q[k] for k in self.k]
        low, high = min(ends), max(ends)
        signed = lambda v: mp.sign(v) * log(1 + abs(v))
        tiny = mpf(10) ** -30
        for _ in range(3000):
            width, size = high - low, max(abs(low), abs(high))
            if width <= tiny * size:
                break
            mid = (low + high) / 2
            if width > 2**20 and width > size / 2:
                y = (signed(low) + signed(high)) / 2
                mid = mp.sign(y) * (exp(abs(y)) - 1)
            if self.t(mid) < t:
                low = mid
            else:
                high = mid
        return (low + high) / 2


def forward(name, x, theta, precisions):
    law = Law(theta)
    z, up, dn, u, v, p, o, t, l = law.terms(x)
    alpha = tanh(mpf(theta["a"]))
    A, bend = exp(alpha), 1 - alpha**2
    k = law.k
    c = [u[i] * dn[i] + v[i] * up[i] for i in k]
    lean = [p[i] * (dn[i] - up[i]) - u[i] * dn[i] + v[i] * up[i] for i in k]
    top = max(law.l)
    far = [abs(z[i]) + (top - law.l[i]) + abs(law.s[i]) for i in k]
    common = sum(max(u[i], v[i], p[i]) * far[i] for i in k)
    zero = mpf(0)

    def output(value, of_z, size_z, logit, logit_size, extra, a, a_size, b):
        mean = [-law.q[i] * of_z[i] for i in k]
        mean_size = [law.q[i] * size_z[i] for i in k]
        scale = [-z[i] * of_z[i] - extra[i] if law.free[i] else zero for i in k]
        scale_size = [abs(z[i]) * size_z[i] + extra[i] if law.free[i] else zero for i in k]
        gradient = dict(x=[-sum(mean)], a=[a], b=[b], logits=logit, means=mean, log_scales=scale)
        size = dict(x=[sum(mean_size)], a=[a_size], b=[b], logits=logit_size, means=mean_size, log_scales=scale_size)
        shift = sum(abs(z[i]) * size_z[i] + logit_size[i] * ((top - law.l[i]) + abs(law.s[i])) for i in k)
        floats = lambda d: {key: [float(mp.nstr(n, 20)) for n in d[key]] for key in d}
        return dict(value=float(value), shift=float(shift), gradient=floats(gradient), size=floats(size))

    of_t = output(A * t + theta["b"], [A * n for n in c], [A * n for n in c], [A * (u[i] - v[i]) for i in k],
                  [A * (u[i] + v[i]) for i in k], [zero for _ in k], A * t * bend, A * (1 + abs(t)) * bend, mpf(1))
    of_l = output(alpha + l, lean, [p[i] + c[i] for i in k], [p[i] + o[i] - u[i] - v[i] for i in k],
                  [p[i] + o[i] + u[i] + v[i] for i in k], p, bend, bend, zero)
    slack = [float(1 + far[i] + common) for i in k]
    return dict(name=name, kind="forward", x=x, theta=theta, precisions=precisions, slack=slack, z=of_t, log_derivative=of_l)


def inverse(name, z, theta, precisions):
    law = Law(theta)
    t = (mpf(z) - mpf(theta["b"])) * exp(-tanh(mpf(theta["a"])))
    x = law.root(t)
    found = {}
    for precision in precisions:
        eps = mpf(EPS[precision])
        low, high = (law.root(t + side * 8 * eps * (1 + abs(t))) for side in (-1, 1))

        def margin(at):
            q = [law.q[i] * c for i, c in enumerate(crossing(law, at))]
            return 8 * eps * (abs(at) + sum(n * abs(at - law.mu[i]) for i, n in enumerate(q)) / sum(q))

        m = max(margin(low), margin(x), margin(high))
        if abs(x) < (8e37 if precision == "single" else 1e300):
            found[precision] = [float(low - m), float(high + m)]
    return dict(name=name, kind="inverse", z=z, theta=theta, precisions=precisions, x=mp.nstr(x, 20), interval=found)


def crossing(law, x):
    _, up, dn, F, G = law.sums(x)
    return [law.w[i] * up[i] * dn[i] * (1 / F + 1 / G) for i in law.k]


def theta(logits, means, log_scales, bound, a=0.0, b=0.0):
    return dict(a=a, b=b, logits=logits, means=means, log_scales=log_scales, min_log_scale=bound)


def rounded(v):
    return {k: rounded(n) for k, n in v.items()} if isinstance(v, dict) else [rounded(n) for n in v] if isinstance(v, list) else single(v)


def forwards():
    both, double = ["single", "double"], ["double"]
    draw = random.Random(1)
    uniform = draw.uniform
    for i, (m, s) in enumerate([(9.0, 0.0), (20.0, 0.0), (40.0, -0.3), (3.0, -3.0), (2.0, -7.0), (15.0, 1.5)]):
        for j, at in enumerate([0.0, 0.3, -0.85]):
            yield f"valley {i}.{j}", at * m, theta([0.2, -0.7], [-m, m], [s, s + 0.1], -7.0, 0.3, 0.4), both
    yield "valley of three", 0.9, theta([0.5, -1.0, 0.0], [-6.0, 2.5, 11.0], [-1.0, -2.0, -1.5], -7.0, -0.4, 0.1), both
    for i, x in enumerate([-1e4, -300.0, -30.0, 12.0, 80.0, 1000.0, 3e4]):
        yield f"tail {i}", x, theta([0.3, -1.0, 0.6], [0.1, -0.5, 1.0], [0.2, 1.0, 3.0], -7.0, 0.5, -0.2), both
    # A component lighter by e^-light, narrow, in the tail of a wide one that is `z` of its scales away.
    for i, (light, narrow, bound, wide, z) in enumerate([
            (60.0, -7.0, -7.0, 3.0, 26.0), (61.0, -9.0, -7.0, 5.0, 28.0), (58.0, -7.0, -7.0, 6.0, -30.0), (66.0, -7.0, -7.0, 1.0, 32.0),
            (59.0, -12.0, -12.0, 2.0, 20.0), (62.0, -12.0, -12.0, 4.0, -22.0), (70.0, -12.0, -12.0, 0.0, 18.0),
            (75.0, -20.0, -20.0, 2.0, 10.0), (60.5, -6.0, -7.0, 4.0, 25.0), (62.0, -25.0, -30.0, 1.0, -4.0)]):
        x = z * math.exp(wide)
        x = single(x)
        for j, step in enumerate([0.0, 1.5, -6.0]):
            mean = x + step * math.exp(max(narrow, bound))
            yield f"hidden {i}.{j}", x, theta([0.0, -light, -1.0], [0.0, mean, 0.5], [wide, narrow, wide - 0.7], bound, 0.2, 1.0), both
    # The same where the density is just above 3e^(-60 - bound)/5e-9: the sums are good, the gradient's further e^-s is not.
    for i, (light, narrow, wide, above) in enumerate([
            (64.0, -7.0, 6.0, 1.2), (62.5, -7.0, 8.0, 1.5), (75.0, -7.0, 10.0, 1.1), (61.0, -7.0, 12.0, 2.0), (66.0, -7.0, 10.0, 40.0),
            (64.0, -12.0, 4.0, 1.2), (70.0, -12.0, 8.0, 1.5), (61.5, -12.0, 10.0, 30.0), (80.0, -18.0, 3.0, 1.3)]):
        # At x = 0, so that float32 resolves the narrow one.
        far = (math.log(5e-9 / 3 / above) + 60 + narrow - wide) * math.exp(wide)
        for j, (sign, step) in enumerate([(1, 1.5), (-1, -0.8), (1, -5.0)]):
            yield (f"hidden, at the bound {i}.{j}", 0.0, theta([0.0, -light], [-sign * far, step * math.exp(narrow)],
                   [wide, narrow], narrow, 0.2, 1.0), both)
    for i, (light, narrow, wide, z) in enumerate([(300.0, -7.0, 3.0, 200.0), (305.0, -40.0, 5.0, 150.0), (298.0, -60.0, 2.0, -100.0), (330.0, -80.0, 4.0, 60.0)]):
        x = z * math.exp(wide)
        yield f"hidden, double {i}", x, theta([0.0, -light], [0.0, x], [wide, narrow], -80.0, 0.2, 1.0), double
    # Shares too small for a float32 that steep components make large.
    yield "steep share", 0.0, theta([0.0, -88.0], [0.0, 0.0], [20.0, -80.0], -80.0), both
    yield "steep share, beside", 1e-35, theta([0.0, -90.0], [5.0, 0.0], [15.0, -80.0], -80.0), both
    yield "steep and far", 1e4, theta([0.0, 0.5], [0.0, 3.0], [0.0, -80.0], -80.0), both
    for i, (s, x) in enumerate([(85.0, 1e36), (89.0, -3e37), (93.0, 5e37), (100.0, 1e30)]):
        yield f"wide {i}", x, theta([0.0, 0.4], [0.0, 1.0], [s, s - 1.0], -7.0), both
    for i, (s, x) in enumerate([(300.0, 1e130), (650.0, -1e283), (299.0, 2.0)]):
        yield f"wide, double {i}", x, theta([0.0, 0.4, -300.0], [0.0, 1.0, 2.0], [s, s - 1.0, 0.0], -7.0), double
    for i, s in enumerate([-100.0, -200.0, -300.0]):
        yield f"narrow, double {i}", 3 * math.exp(s), theta([0.0, -s - 40.0, 1.0], [0.0, math.exp(s), 1.0], [s, s + 1.0, 0.0], -400.0), double
    for i, a in enumerate([-25.0, -9.0, -4.0, 7.0, 12.0, 30.0]):
        yield f"affine {i}", 0.8, theta([0.1, 0.0], [-1.0, 2.0], [0.0, 0.3], -7.0, a, 0.3), both
    for i in range(12):
        k = [1, 2, 5][i % 3]
        spread = [1.0, 5.0, 60.0, 100.0][i // 3]
        scales = [(-3.0, 1.0), (-9.0, 6.0), (-9.0, 60.0), (-9.0, 80.0)][i // 3]
        yield (f"random {i}", uniform(-3, 3) * spread, theta([uniform(-1, 1) * spread for _ in range(k)],
               [uniform(-2, 2) * spread for _ in range(k)], [uniform(*scales) for _ in range(k)], -7.0, uniform(-1, 1), uniform(-1, 1)), both)
    for i in range(8):
        k = 2 + i % 3
        yield (f"random, double {i}", uniform(-1e4, 1e4), theta([uniform(-300, 0) for _ in range(k)], [uniform(-1e4, 1e4) for _ in range(k)],
               [uniform(-80, 300) if i % 2 else uniform(-20, 12) for _ in range(k)], -80.0, uniform(-1, 1), uniform(-1, 1)), double)


def inverses():
    both, double = ["single", "double"], ["double"]
    draw = random.Random(2)
    uniform = draw.uniform
    for s in [-80.0, -40.0, -7.0, 0.0, 30.0, 61.0, 79.0, 82.0, 86.0]:
        for z in [-1e-5, 0.1, 3.0, -200.0]:
            if s < 80 or abs(z) < 1:
                yield f"one, s = {s}, z = {z}", z, theta([1.0], [0.5], [s], -80.0), both
    for s in [90.0, 120.0, 200.0, 280.0, 300.0, 500.0, 680.0]:
        for z in [-1e-5, 0.1, 3.0, -1e4]:
            yield f"one, s = {s}, z = {z}", z, theta([1.0], [0.5], [s], -80.0, 0.3, 0.1), double
    for s in [90.0, 100.0, 110.0]:
        for z in [1e-5, -1e-3, 0.7, 3.0]:
            yield f"one, s = {s}, z = {z}", z, theta([0.0], [0.0], [s], -80.0), both
    for s in [-100.0, -200.0, -300.0]:
        for z in [-1e-5, 3.0, -1e4]:
            yield f"one, s = {s}, z = {z}", z, theta([1.0], [0.0], [s], -400.0), double
    for s in [85.0, 95.0, 160.0]:
        for z in [-4.0, -1.0, 0.2, 1.0]:
            yield f"beside a wide one, s = {s}, z = {z}", z, theta([0.0, 0.1], [0.0, 0.3], [s, 0.0], -80.0), both
    for s in [160.0, 300.0, 600.0]:
        for z in [-4.0, 0.2, 1.0, 30.0]:
            yield f"beside a wide one, s = {s}, z = {z}, double", z, theta([0.0, 0.1, -300.0], [0.0, 0.3, 1e4], [s, 0.0, -60.0], -80.0), double
    for i in range(24):
        k = 2 + i % 3
        span = [(-7, 6), (-20, 40), (-80, 80)][i % 3]
        yield (f"random {i}", [0.01, 1.0, 30.0, 1e4][i % 4] * uniform(-1, 1), theta([uniform(-60, 0) for _ in range(k)],
               [uniform(-30, 30) for _ in range(k)], [uniform(*span) for _ in range(k)], -80.0, uniform(-1, 1), uniform(-1, 1)), both)
    for i in range(24):
        k = 2 + i % 3
        yield (f"random, double {i}", [0.01, 1.0, 30.0, 1e4][i % 4] * uniform(-1, 1), theta([uniform(-300, 0) for _ in range(k)],
               [uniform(-1e4, 1e4) for _ in range(k)], [uniform(-80, 300) for _ in range(k)], -80.0, uniform(-1, 1), uniform(-1, 1)), double)


def main():
    cases = []
    for make, listed in ((forward, forwards()), (inverse, inverses())):
        for name, at, parameters, precisions in listed:
            if "single" in precisions:
                at, parameters = single(at), rounded(parameters)
            cases.append(make(name, at, parameters, precisions))
    print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")


if __name__ == "__main__":
    main()
