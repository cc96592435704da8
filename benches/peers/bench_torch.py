"""Torch-side baselines. JSON line per (item, mode, threads).
usage: bench_torch.py [--filter REGEX] [--threads 1,2] [--modes eager,compile] [--out FILE] [--list] [--budget S]
       [--items NAME,NAME] these of our own, in this order  [--large] those too that need a GPU or much memory
       [--device cpu|cuda] float32 without TF32  [--once] one call, compilation included
"""
import argparse, math, os, re, sys, warnings
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
warnings.filterwarnings("ignore")
import torch
import torch.nn as nn
import torch.nn.functional as F
from benchlib import Cpu, bind, run_forked

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
ITEMS = []          # (name, impl, modes, setup(compile_fn) -> (fn, extra))
LARGE = {"c.flowpp.train.cifar10_preset"}


def item(name, impl="own", modes=("eager",)):
    def deco(f):
        ITEMS.append((name, impl, modes, f))
        return f
    return deco


def nparams(m):
    return sum(p.numel() for p in m.parameters())


# ------------------------------------------------------------------ a. mixture-of-logistics CDF
def mixlog_inputs(big, grad=False, K=32):
    torch.manual_seed(0)
    shape = (1000, 3, 32, 16) if big else (32, 3, 32, 16)
    x = torch.randn(shape)
    p = [torch.randn(shape[0], K, *shape[1:]) for _ in range(3)]
    p[2] = p[2] * 0.5 - 1.0
    if grad:
        for t in (x, *p):
            t.requires_grad_(True)
    return x, p


for big in (False, True):
    tag = "1.5M" if big else "49k"

    @item(f"a.mixlog.fwd.{tag}", modes=("eager", "compile"))
    def _(comp, big=big):
        import flowpp_torch as fp
        x, p = mixlog_inputs(big)
        f = comp(fp.mixlog_forward)
        @torch.no_grad()
        def run():
            return f(x, *p)
        return run, {}

    @item(f"a.mixlog.fwdbwd.{tag}", modes=("eager", "compile"))
    def _(comp, big=big):
        import flowpp_torch as fp
        x, p = mixlog_inputs(big, True)
        f = comp(fp.mixlog_forward)
        def run():
            for t in (x, *p):
                t.grad = None
            y, ldj = f(x, *p)
            (y.sum() + ldj.sum()).backward()
        return run, {}

    @item(f"a.mixlog.inv_bisect.{tag}", modes=("eager", "compile"))
    def _(comp, big=big):
        import flowpp_torch as fp
        x, p = mixlog_inputs(big)
        y, _ = fp.mixlog_forward(x, *p)
        fp.mixlog_logit = comp(fp.mixlog_logit)
        res = {}
        def run():
            res["x"] = fp.mixlog_inverse(y, *p, tol=1e-6, max_iters=100, return_iters=True)
        return run, {"_post": lambda: {"iters": res["x"][1], "max_err": float((res["x"][0] - x).abs().max())}}

    @item(f"a.mixlog.inv_newton.{tag}", modes=("eager", "compile"))
    def _(comp, big=big):
        import flowpp_torch as fp
        x, p = mixlog_inputs(big)
        y, _ = fp.mixlog_forward(x, *p)
        fp.mixlog_forward = comp(fp.mixlog_forward)
        res = {}
        def run():
            res["x"] = fp.mixlog_inverse_newton(y, *p, tol=1e-6, max_iters=100, return_iters=True)
        return run, {"_post": lambda: {"iters": res["x"][1], "max_err": float((res["x"][0] - x).abs().max())}}

# ------------------------------------------------------------------ b. conditioner
for tag, filt, blocks in (("f96b10", 96, 10), ("f32b2", 32, 2)):
    def cond(filt, blocks):
        import flowpp_torch as fp
        torch.manual_seed(0)
        return fp.Conditioner(3, (16, 32), filters=filt, blocks=blocks, components=32, heads=4), torch.randn(8, 3, 16, 32)

    @item(f"b.cond.fwd.{tag}", modes=("eager", "compile"))
    def _(comp, filt=filt, blocks=blocks, cond=cond):
        net, x = cond(filt, blocks)
        f = comp(net)
        @torch.no_grad()
        def run():
            return f(x)
        return run, {"params": nparams(net)}

    @item(f"b.cond.fwdbwd.{tag}", modes=("eager", "compile"))
    def _(comp, filt=filt, blocks=blocks, cond=cond):
        net, x = cond(filt, blocks)
        f = comp(net)
        def run():
            net.zero_grad(set_to_none=True)
            sum(o.sum() for o in f(x)).backward()
        return run, {"params": nparams(net)}


# ------------------------------------------------------------------ c. small Flow++
def flowpp(batch, **config):
    import flowpp_torch as fp
    torch.manual_seed(0)
    m = fp.FlowPP(fp.Config(**config))
    x = torch.randint(0, 256, (batch, *m.cfg.shape)).float()
    with torch.no_grad():
        m.loss(x, init=True)
    return fp, m, x


def small_flowpp(shape, batch=16, **more):
    return flowpp(batch, shape=shape, filters=32, blocks=2, components=8, dequant_filters=32, dequant_blocks=2, **more)


def flowpp_step(fp, m, x, comp):
    opt = torch.optim.Adam(m.parameters(), lr=3e-4)
    lf = comp(m.loss)
    def run():
        return fp.train_step(m, opt, x, lf)
    return run, {"params": nparams(m), "batch": len(x)}


def regional(fp, m, comp):
    """compiles what repeats, the blocks of the networks and the mixture, once for each shape: as one graph, the 98 blocks of the
    CIFAR-10 model would take longer than a run of `benches/gpu/run` has."""
    torch._dynamo.config.recompile_limit = 32
    for module in m.modules():
        if isinstance(module, fp.Block):
            module.forward = comp(module.forward, dynamic=False)
    fp.mixlog_forward = comp(fp.mixlog_forward, dynamic=False)
    return fp, m


# The sizes of flowkit's presets `tiny` and `cifar10`.
TINY = dict(filters=16, blocks=1, components=4, dequant_filters=16, dequant_blocks=1, aux_ch=16, layers=(0, 2, 2), dequant_layers=2)
for tag, batch, config in (("tiny", 2, TINY), ("cifar10", 64, dict(drop=0.2))):
    @item(f"c.flowpp.train.{tag}_preset", modes=("eager", "compile"))
    def _(comp, batch=batch, config=config):
        fp, m, x = flowpp(batch, **config)
        return flowpp_step(*regional(fp, m, comp), x, lambda f: f)


for tag, shape in (("cifar", (3, 32, 32)), ("mnist", (1, 28, 28))):
    @item(f"c.flowpp.train.{tag}", modes=("eager", "compile"))
    def _(comp, shape=shape):
        return flowpp_step(*small_flowpp(shape), comp)

    @item(f"c.flowpp.eval.{tag}", modes=("eager", "compile"))
    def _(comp, shape=shape):
        fp, m, x = small_flowpp(shape)
        lf = comp(m.loss)
        @torch.no_grad()
        def run():
            return lf(x)
        return run, {"params": nparams(m)}

    for inv in ("bisect", "newton"):
        @item(f"c.flowpp.sample_{inv}.{tag}")
        def _(comp, shape=shape, inv=inv):
            fp, m, x = small_flowpp(shape)
            if inv == "newton":
                fp.MixLogCoupling.inverse_fn = staticmethod(fp.mixlog_inverse_newton)
            z = torch.randn(16, 4 * shape[0], shape[1] // 2, shape[2] // 2)
            def run():
                return m.sample(16, z)
            return run, {}

# ------------------------------------------------------------------ m. memory against depth and batch
def memory_item(name, batch, **more):
    @item(name)
    def _(comp):
        return flowpp_step(*small_flowpp((3, 32, 32), batch, **more), comp)


for n in (8, 16, 32, 64):
    # Half of the couplings at full resolution, half behind the squeeze.
    memory_item(f"m.depth.{n}.store", 16, layers=(n // 2, n // 2, 0))
for n in (4, 8, 16, 32):
    memory_item(f"m.batch.{n}.store", n)

# ------------------------------------------------------------------ d. Glow
SH = (3, 32, 32)


def adam_run(m, loss):
    opt = torch.optim.Adam(m.parameters(), lr=1e-3)
    def run():
        opt.zero_grad(set_to_none=True)
        l = loss()
        l.backward()
        opt.step()
        return l
    return run, {"params": nparams(m)}


@item("d.glow.train", "own", ("eager", "compile"))
def _(comp):
    import glow_torch as g
    torch.manual_seed(0)
    m, x = g.Glow(SH, 3, 8, 128), torch.rand(16, *SH) - 0.5
    m.loss(x, init=True)
    lf = comp(m.loss)
    return adam_run(m, lambda: lf(x)[0])


@item("d.glow.sample", "own")
def _(comp):
    import glow_torch as g
    m, x = g.Glow(SH, 3, 8, 128), torch.rand(16, *SH) - 0.5
    with torch.no_grad():
        m.loss(x, init=True)
    return lambda: m.sample(16), {}


def nf_glow(L=3, K=8, hidden=128):
    import normflows as nf
    C, H, W = SH
    q0, merges, flows = [], [], []
    for i in range(L):
        fl = [nf.flows.GlowBlock(C * 2 ** (L + 1 - i), hidden, split_mode="channel", scale=True) for _ in range(K)]
        flows.append(fl + [nf.flows.Squeeze()])
        if i > 0:
            merges.append(nf.flows.Merge())
            ls = (C * 2 ** (L - i), H // 2 ** (L - i), W // 2 ** (L - i))
        else:
            ls = (C * 2 ** (L + 1), H // 2 ** L, W // 2 ** L)
        q0.append(nf.distributions.DiagGaussian(ls))
    return nf.MultiscaleFlow(q0, flows, merges, class_cond=False)


@item("d.glow.train", "normflows", ("eager", "compile"))
def _(comp):
    m, x = nf_glow(), torch.rand(16, *SH) - 0.5
    m.forward_kld(x)
    lf = comp(m.forward_kld)
    return adam_run(m, lambda: lf(x))


@item("d.glow.sample", "normflows")
def _(comp):
    m, x = nf_glow(), torch.rand(16, *SH) - 0.5
    with torch.no_grad():
        m.forward_kld(x)
    @torch.no_grad()
    def run():
        return m.sample(16)
    return run, {}


class _CtxNet(nn.Module):
    def __init__(self, cin, cout, hidden=128):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(cin, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(),
                                 nn.Conv2d(hidden, cout, 3, padding=1))
        nn.init.zeros_(self.net[4].weight); nn.init.zeros_(self.net[4].bias)

    def forward(self, x, context=None):
        return self.net(x)


def nflows_glow(L=3, K=8):
    from nflows.transforms import (MultiscaleCompositeTransform, SqueezeTransform, ActNorm, OneByOneConvolution,
                                   AffineCouplingTransform, CompositeTransform)
    from nflows.utils import create_mid_split_binary_mask
    from nflows.flows.base import Flow
    from nflows.distributions.normal import StandardNormal
    c, h, w = SH
    mct = MultiscaleCompositeTransform(L)
    for _ in range(L):
        c, h, w = 4 * c, h // 2, w // 2
        t = [SqueezeTransform()]
        for _ in range(K):
            t += [ActNorm(c), OneByOneConvolution(c), AffineCouplingTransform(create_mid_split_binary_mask(c), _CtxNet)]
        ns = mct.add_transform(CompositeTransform(t), (c, h, w))
        if ns:
            c, h, w = ns
    return Flow(mct, StandardNormal([SH[0] * SH[1] * SH[2]]))


@item("d.glow.train", "nflows")
def _(comp):
    m, x = nflows_glow(), torch.rand(16, *SH) - 0.5
    m.log_prob(x)
    return adam_run(m, lambda: -m.log_prob(x).mean())


@item("d.glow.sample", "nflows")
def _(comp):
    m, x = nflows_glow(), torch.rand(16, *SH) - 0.5
    with torch.no_grad():
        m.log_prob(x)
    m.eval()
    @torch.no_grad()
    def run():
        return m.sample(16)
    return run, {}


def freia_glow(L=3, K=8):
    import FrEIA.framework as Ff, FrEIA.modules as Fm
    nodes = [Ff.InputNode(*SH, name="in")]
    outs = []
    for i in range(L):
        nodes.append(Ff.Node(nodes[-1], Fm.IRevNetDownsampling, {}))
        for _ in range(K):
            nodes.append(Ff.Node(nodes[-1], Fm.AllInOneBlock, {"subnet_constructor": _CtxNet, "permute_soft": True}))
        if i < L - 1:
            nodes.append(Ff.Node(nodes[-1], Fm.Split, {}))
            outs.append(Ff.OutputNode(nodes[-1].out1, name=f"z{i}"))
            nodes[-1] = nodes[-1]
            split = nodes[-1]
            nodes.append(Ff.Node(split.out0, Fm.Reshape, {"output_dims": split_shape(i)}))
    outs.append(Ff.OutputNode(nodes[-1], name="zl"))
    return Ff.GraphINN(nodes + outs)


def split_shape(i):
    C, H, W = SH
    return (C * 2 ** (i + 1), H // 2 ** (i + 1), W // 2 ** (i + 1))


@item("d.glow.train", "FrEIA")
def _(comp):
    m, x = freia_glow(), torch.rand(16, *SH) - 0.5
    def loss():
        zs, jac = m(x)
        return (sum(0.5 * (z ** 2).flatten(1).sum(1) for z in zs) - jac).mean()
    return adam_run(m, loss)


@item("d.glow.sample", "FrEIA")
def _(comp):
    m, x = freia_glow(), torch.rand(16, *SH) - 0.5
    with torch.no_grad():
        zs, _ = m(x)
    zs = [torch.randn_like(z) for z in zs]
    @torch.no_grad()
    def run():
        return m(zs, rev=True)
    return run, {}


# ------------------------------------------------------------------ e. 2-D RealNVP, 8 layers, MLP(64,64), batch 4096
def toy(n=4096):
    torch.manual_seed(0)
    t = math.pi * torch.rand(n)
    s = (torch.rand(n) > 0.5).float()
    x = torch.stack((torch.cos(t) * (1 - 2 * s) + s, torch.sin(t) * (1 - 2 * s) + 0.5 * s), 1)
    return x + 0.1 * torch.randn(n, 2)


class OwnRealNVP(nn.Module):
    def __init__(self, n=8, h=64):
        super().__init__()
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(1, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, 2)) for _ in range(n))

    def forward(self, x):
        a, b = x[:, :1], x[:, 1:]
        ldj = 0.0
        for net in self.nets:
            s, t = net(a).chunk(2, 1)
            s = torch.tanh(s)
            a, b = b * s.exp() + t, a
            ldj = ldj + s
        return -(ldj - 0.5 * (a * a + b * b) - math.log(2 * math.pi)).mean()


@item("e.toy2d.train", "own", ("eager", "compile"))
def _(comp):
    m, x = OwnRealNVP(), toy()
    f = comp(m)
    return adam_run(m, lambda: f(x))


@item("e.toy2d.train", "nflows")
def _(comp):
    from nflows.transforms import CompositeTransform, AffineCouplingTransform
    from nflows.nn.nets import MLP
    from nflows.flows.base import Flow
    from nflows.distributions.normal import StandardNormal
    class Net(MLP):
        def __init__(self, i, o):
            super().__init__([i], [o], [64, 64])
        def forward(self, x, context=None):
            return super().forward(x)
    t = CompositeTransform([AffineCouplingTransform([i % 2, (i + 1) % 2], Net) for i in range(8)])
    m, x = Flow(t, StandardNormal([2])), toy()
    return adam_run(m, lambda: -m.log_prob(x).mean())


@item("e.toy2d.train", "normflows")
def _(comp):
    import normflows as nf
    flows = []
    for _ in range(8):
        flows += [nf.flows.AffineCouplingBlock(nf.nets.MLP([1, 64, 64, 2], init_zeros=True)), nf.flows.Permute(2, mode="swap")]
    m, x = nf.NormalizingFlow(nf.distributions.DiagGaussian(2), flows), toy()
    return adam_run(m, lambda: m.forward_kld(x))


@item("e.toy2d.train", "zuko", ("eager", "compile"))
def _(comp):
    import zuko
    m, x = zuko.flows.RealNVP(2, transforms=8, hidden_features=(64, 64)), toy()
    f = comp(lambda t: -m().log_prob(t).mean())
    return adam_run(m, lambda: f(x))


@item("e.toy2d.train", "FrEIA")
def _(comp):
    import FrEIA.framework as Ff, FrEIA.modules as Fm
    def net(i, o):
        return nn.Sequential(nn.Linear(i, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, o))
    m = Ff.SequenceINN(2)
    for _ in range(8):
        m.append(Fm.AllInOneBlock, subnet_constructor=net, permute_soft=True)
    x = toy()
    def loss():
        z, jac = m(x)
        return (0.5 * (z ** 2).sum(1) - jac).mean()
    return adam_run(m, loss)


# ------------------------------------------------------------------ f. invertible 1x1 conv [32,48,16,16]
def conv1x1_run(m, call):
    x = torch.randn(32, 48, 16, 16, requires_grad=True)
    def run():
        m.zero_grad(set_to_none=True)
        x.grad = None
        y, ld = call(x)
        (y.sum() + ld.sum()).backward()
    return run, {}


for tag in ("plain", "plu"):
    @item(f"f.conv1x1.{tag}.fwdbwd", "own", ("eager", "compile"))
    def _(comp, tag=tag):
        import glow_torch as g
        m = (g.InvConv if tag == "plain" else g.InvConvLU)(48)
        return conv1x1_run(m, comp(m))

    @item(f"f.conv1x1.{tag}.fwdbwd", "normflows")
    def _(comp, tag=tag):
        import normflows as nf
        m = nf.flows.Invertible1x1Conv(48, use_lu=tag == "plu")
        return conv1x1_run(m, m.inverse)        # density direction


@item("f.conv1x1.plu.fwdbwd", "nflows")
def _(comp):
    from nflows.transforms import OneByOneConvolution
    m = OneByOneConvolution(48)
    return conv1x1_run(m, m)


# ------------------------------------------------------------------ g. primitives
@item("g.conv2d.fwd")
def _(comp):
    x, w = torch.randn(32, 96, 16, 16), torch.randn(96, 96, 3, 3)
    @torch.no_grad()
    def run():
        return F.conv2d(x, w, padding=1)
    return run, {"gflop": 2 * 32 * 256 * 96 * 96 * 9 / 1e9}


@item("g.conv2d.fwdbwd")
def _(comp):
    x, w = torch.randn(32, 96, 16, 16, requires_grad=True), torch.randn(96, 96, 3, 3, requires_grad=True)
    g = torch.randn(32, 96, 16, 16)
    def run():
        x.grad = w.grad = None
        F.conv2d(x, w, padding=1).backward(g)
    return run, {"gflop": 3 * 2 * 32 * 256 * 96 * 96 * 9 / 1e9}


@item("g.matmul1024")
def _(comp):
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return (lambda: a @ b), {"gflop": 2 * 1024 ** 3 / 1e9}


class Cuda(Cpu):
    """the first GPU: float32 throughout, and the algorithms of convolutions are chosen by trying them, as burn does."""

    def __init__(self):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True

    def sync(self):
        torch.cuda.synchronize()

    def reset_peak(self):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def notes(self):
        mb = lambda size: round(size / 2 ** 20, 1)
        return dict(device=torch.cuda.get_device_name(), cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version(),
                    tf32=torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
                    device_mb=mb(torch.cuda.max_memory_reserved()), allocated_mb=mb(torch.cuda.max_memory_allocated()))


def chosen(a):
    """the items of the command line."""
    if a.items:
        own = {entry[0]: entry for entry in ITEMS if entry[1] == "own"}
        return [own[name] for name in a.items.split(",")]
    return [entry for entry in ITEMS if re.search(a.filter, "{}@{}".format(*entry)) and (a.large or entry[0] not in LARGE)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--filter", default="")
    ap.add_argument("--items", default="")
    ap.add_argument("--large", action="store_true")
    ap.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    ap.add_argument("--once", action="store_true")
    ap.add_argument("--threads", default="1,2")
    ap.add_argument("--modes", default="eager,compile")
    ap.add_argument("--out", default="")
    ap.add_argument("--round", type=int, default=0)
    ap.add_argument("--budget", type=float, default=2.0)
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    out = open(a.out, "a") if a.out not in ("", "-") else sys.stdout
    if a.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Only settings: the process that forks must not open the GPU.
    device = Cuda() if a.device == "cuda" else Cpu()
    for name, impl, modes, setup in chosen(a):
        if a.list:
            for mode in modes:
                print(name, impl, mode)
            continue
        for mode in modes:
            if mode not in a.modes.split(","):
                continue
            for th in map(int, a.threads.split(",")):
                def go(mode=mode, th=th):
                    bind(th)
                    torch.set_num_threads(th)
                    torch.manual_seed(0)
                    comp = torch.compile if mode == "compile" else (lambda f, **_: f)
                    # For what is made here alone: as the default it would cost time in every call.
                    with torch.device(a.device):
                        return setup(comp)
                meta = dict(item=name, impl=impl, mode=mode, threads=th, round=a.round, torch=torch.__version__)
                r = run_forked(meta, go, out=out, budget=a.budget, once=a.once, device=device)
                if out is not sys.stdout:
                    print(name, impl, mode, th, r.get("median_s", r.get("error")), flush=True)


if __name__ == "__main__":
    main()
