"""The JAX side, on XLA's CPU: RealNVP by flowjax, distrax and by hand, MixLogCDF by hand. XLA takes its number of threads from the affinity.
usage: bench_jax.py [--filter RE] [--threads 1,2] [--out FILE] [--round N] [--budget S]"""
import argparse, math, os, re, sys, warnings
warnings.filterwarnings("ignore")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
from benchlib import bind, run_forked
ITEMS = []


def item(name, impl):
    def deco(f):
        ITEMS.append((name, impl, f))
        return f
    return deco


def toy(n=4096):
    import numpy as np
    r = np.random.default_rng(0)
    t, s = np.pi * r.random(n), (r.random(n) > 0.5).astype("float32")
    x = np.stack((np.cos(t) * (1 - 2 * s) + s, np.sin(t) * (1 - 2 * s) + 0.5 * s), 1) + 0.1 * r.standard_normal((n, 2))
    return x.astype("float32")


@item("e.toy2d.train", "flowjax")
def _():
    import jax, jax.numpy as jnp, equinox as eqx, optax
    from flowjax.flows import coupling_flow
    from flowjax.distributions import Normal
    import flowjax, paramax
    flow = coupling_flow(jax.random.key(0), base_dist=Normal(jnp.zeros(2)), flow_layers=8, nn_width=64, nn_depth=2)
    x, opt = jnp.asarray(toy()), optax.adam(1e-3)
    params, static = eqx.partition(flow, eqx.is_inexact_array, is_leaf=lambda l: isinstance(l, paramax.NonTrainable))
    st = {"p": params, "o": opt.init(params)}
    @eqx.filter_jit
    def step(p, o, x):
        def loss(p):
            return -paramax.unwrap(eqx.combine(p, static)).log_prob(x).mean()
        l, g = eqx.filter_value_and_grad(loss)(p)
        u, o = opt.update(g, o, p)
        return eqx.apply_updates(p, u), o, l
    def run():
        st["p"], st["o"], l = step(st["p"], st["o"], x)
        l.block_until_ready()
    return run, {"params": sum(a.size for a in jax.tree.leaves(params))}


def _own_params(n=8, h=64):
    import jax, jax.numpy as jnp
    ks = jax.random.split(jax.random.key(0), n * 3)
    def lin(k, i, o):
        return jax.random.normal(k, (i, o)) / math.sqrt(i), jnp.zeros(o)
    return [[lin(ks[3 * i], 1, h), lin(ks[3 * i + 1], h, h), (0.01 * jax.random.normal(ks[3 * i + 2], (h, 2)), jnp.zeros(2))] for i in range(n)]


def _mlp(p, a):
    import jax
    for w, b in p[:-1]:
        a = jax.nn.relu(a @ w + b)
    return a @ p[-1][0] + p[-1][1]


@item("e.toy2d.train", "jax_own")
def _():
    import jax, jax.numpy as jnp, optax
    x, opt, p = jnp.asarray(toy()), optax.adam(1e-3), _own_params()
    def loss(p, x):
        a, b = x[:, :1], x[:, 1:]
        ldj = 0.0
        for net in p:
            st = _mlp(net, a)
            s, t = jnp.tanh(st[:, :1]), st[:, 1:]
            a, b = b * jnp.exp(s) + t, a
            ldj = ldj + s
        return -(ldj - 0.5 * (a * a + b * b) - math.log(2 * math.pi)).mean()
    @jax.jit
    def step(p, o, x):
        l, g = jax.value_and_grad(loss)(p, x)
        u, o = opt.update(g, o, p)
        return optax.apply_updates(p, u), o, l
    s = {"p": p, "o": opt.init(p)}
    def run():
        s["p"], s["o"], l = step(s["p"], s["o"], x)
        l.block_until_ready()
    return run, {"params": sum(a.size for a in jax.tree.leaves(p))}


@item("e.toy2d.train", "distrax")
def _():
    import jax, jax.numpy as jnp, optax, distrax
    x, opt, p = jnp.asarray(toy()), optax.adam(1e-3), _own_params()
    def dist(p):
        layers = []
        for i, net in enumerate(p):
            mask = jnp.array([i % 2 == 0, i % 2 == 1])
            def cond(v, net=net, i=i):
                st = _mlp(net, v[..., i % 2:i % 2 + 1])
                return jnp.stack([jnp.zeros_like(st), st], -2) if i % 2 == 0 else jnp.stack([st, jnp.zeros_like(st)], -2)
            layers.append(distrax.MaskedCoupling(mask, cond, lambda q: distrax.ScalarAffine(shift=q[..., 1], log_scale=jnp.tanh(q[..., 0]))))
        return distrax.Transformed(distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)), distrax.Inverse(distrax.Chain(layers)))
    @jax.jit
    def step(p, o, x):
        l, g = jax.value_and_grad(lambda p: -dist(p).log_prob(x).mean())(p)
        u, o = opt.update(g, o, p)
        return optax.apply_updates(p, u), o, l
    s = {"p": p, "o": opt.init(p)}
    def run():
        s["p"], s["o"], l = step(s["p"], s["o"], x)
        l.block_until_ready()
    return run, {}


def mixlog(x, lg, mu, s):
    import jax, jax.numpy as jnp
    z = (x[:, None] - mu) * jnp.exp(-s)
    sp = jax.nn.softplus(z)
    lse = lambda t: jax.nn.logsumexp(t, axis=1)
    lc, ls = lse(lg + (z - sp)), lse(lg - sp)
    return lc - ls, lse(lg - s - sp + (z - sp)) + lse(lg) - lc - ls


def mix_inputs(big, K=32):
    import jax, jax.numpy as jnp
    sh = (1000, 3, 32, 16) if big else (32, 3, 32, 16)
    k = jax.random.split(jax.random.key(0), 4)
    f = jax.jit(lambda: (jax.random.normal(k[0], sh), jax.random.normal(k[1], (sh[0], K) + sh[1:]), jax.random.normal(k[2], (sh[0], K) + sh[1:]),
                         0.5 * jax.random.normal(k[3], (sh[0], K) + sh[1:]) - 1))
    return f()


for big in (False, True):
    tag = "1.5M" if big else "49k"

    @item(f"a.mixlog.fwd.{tag}", "jax_own")
    def _(big=big):
        import jax
        a = mix_inputs(big)
        f = jax.jit(mixlog)
        return (lambda: jax.block_until_ready(f(*a))), {}

    @item(f"a.mixlog.fwdbwd.{tag}", "jax_own")
    def _(big=big):
        import jax
        a = mix_inputs(big)
        f = jax.jit(jax.value_and_grad(lambda *a: sum(v.sum() for v in mixlog(*a)), argnums=(0, 1, 2, 3)))
        return (lambda: jax.block_until_ready(f(*a))), {}

    @item(f"a.mixlog.inv_bisect.{tag}", "jax_own")
    def _(big=big):
        import jax, jax.numpy as jnp
        a = mix_inputs(big)
        y = jax.jit(mixlog)(*a)[0]
        @jax.jit
        def inv(y, lg, mu, s):
            e, ei = jnp.exp(s), jnp.exp(-s)
            c = mu + e * y[:, None]
            def body(st):
                lb, ub, i = st
                m = 0.5 * (lb + ub)
                z = (m[:, None] - mu) * ei
                sp = jax.nn.softplus(z)
                gt = jax.nn.logsumexp(lg + (z - sp), axis=1) - jax.nn.logsumexp(lg - sp, axis=1) > y
                return jnp.where(gt, lb, m), jnp.where(gt, m, ub), i + 1
            lb, ub, i = jax.lax.while_loop(lambda st: (jnp.max(st[1] - st[0]) > 1e-6) & (st[2] < 100), body, (c.min(1), c.max(1), 0))
            return 0.5 * (lb + ub), i
        x, i = inv(y, *a[1:])
        return (lambda: jax.block_until_ready(inv(y, *a[1:]))), {"iters": int(i), "max_err": float(abs(x - a[0]).max())}


def main():
    ap = argparse.ArgumentParser()
    for k, d in (("--filter", ""), ("--threads", "1,2"), ("--out", "")):
        ap.add_argument(k, default=d)
    ap.add_argument("--round", type=int, default=0); ap.add_argument("--budget", type=float, default=2.0)
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    out = open(a.out, "a") if a.out not in ("", "-") else sys.stdout
    for name, impl, setup in ITEMS:
        if a.filter and not re.search(a.filter, f"{name}@{impl}"):
            continue
        if a.list:
            print(name, impl, "jit")
            continue
        for th in map(int, a.threads.split(",")):
            def pre(th=th):
                bind(th)
            r = run_forked(dict(item=name, impl=impl, mode="jit", threads=th, round=a.round), setup, pre=pre, out=out, budget=a.budget)
            if out is not sys.stdout:
                print(name, impl, th, r.get("median_s", r.get("error")), flush=True)


if __name__ == "__main__":
    main()
