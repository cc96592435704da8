"""Flow++ (Ho et al. 2019) building blocks in plain PyTorch, written as a CPU reference baseline.

Structure follows the official CIFAR model (github aravindsrinivas/flowpp, flows/run_cifar.py):
    dequant:  eps ~ N(0,1) -> checkerboard -> 4 x [Norm, Pointwise, MixLogCoupling(ctx), Flip] -> merge -> sigmoid
    main:     ImgProc(logit) -> checkerboard -> 4 x [..] -> merge -> squeeze -> channel split -> 2 x [..] -> merge
              -> checkerboard -> 3 x [..] -> merge -> N(0,1)
Everything is NCHW.  Differences from the official code, all deliberate:
  * the checkerboard is a true one (official code splits alternating COLUMNS),
  * logit(CDF) is formed as lse(logits-softplus(-z)) - lse(logits-softplus(z)) (never leaves log space),
  * the inverse is solved in logit space with the exact bracket [min_k, max_k](mu_k + e^{s_k} y).
Parameter channel order of the conditioner output: [B, (2+3K)*C, H, W] -> view [B, 2+3K, C, H, W];
index 0 = pre-tanh log-scale `a`, 1 = shift `b`, then K logits, K means, K log-scales (clamped at >= -7).
"""
from dataclasses import dataclass
import math
import torch
import torch.nn as nn
import torch.nn.functional as F

MIN_LOGSCALE = -7.0


# ----------------------------------------------------------------------------- mixture of logistics CDF
def mixlog_forward(x, logits, means, logscales):
    """y = logit(CDF(x)), ldj = log dy/dx elementwise. x [..], params have a K axis at dim=1."""
    z = (x.unsqueeze(1) - means) * torch.exp(-logscales)
    sp_pos = F.softplus(z)            # -log sigmoid(-z)
    sp_neg = sp_pos - z               # -log sigmoid(z)
    lcdf = torch.logsumexp(logits - sp_neg, 1)
    lsf = torch.logsumexp(logits - sp_pos, 1)
    lpdf = torch.logsumexp(logits - logscales - sp_pos - sp_neg, 1)
    lnorm = torch.logsumexp(logits, 1)
    # every term above carries +lnorm, so: logit = lcdf-lsf ; log dy/dx = pdf - cdf - sf (one lnorm survives)
    return lcdf - lsf, lpdf + lnorm - lcdf - lsf


def mixlog_logit(x, logits, means, inv_scales):
    z = (x.unsqueeze(1) - means) * inv_scales
    sp = F.softplus(z)
    # z - sp first: (logits - sp) + z would drop the logits' bits at |z| ~ 1e6 in float32
    return torch.logsumexp(logits + (z - sp), 1) - torch.logsumexp(logits - sp, 1)


@torch.no_grad()
def mixlog_inverse(y, logits, means, logscales, tol=1e-6, max_iters=100, return_iters=False):
    """Bisection on logit(CDF(x)) = y. Stops when the widest bracket is <= tol or after max_iters."""
    scales = torch.exp(logscales)
    inv_scales = torch.exp(-logscales)
    cand = means + scales * y.unsqueeze(1)
    lb, ub = cand.amin(1), cand.amax(1)     # exact bracket: each component alone would land in [lb, ub]
    it = 0
    for it in range(1, max_iters + 1):
        mid = 0.5 * (lb + ub)
        gt = mixlog_logit(mid, logits, means, inv_scales) > y
        ub = torch.where(gt, mid, ub)
        lb = torch.where(gt, lb, mid)
        if float((ub - lb).max()) <= tol:
            break
    x = 0.5 * (lb + ub)
    return (x, it) if return_iters else x


@torch.no_grad()
def mixlog_inverse_newton(y, logits, means, logscales, tol=1e-6, max_iters=100, return_iters=False):
    """Safeguarded Newton on the same equation; a bisection step when Newton leaves the bracket and on every 4th step.
    Done per element when the bracket is <= tol or the residual is at rounding level (|r| <= 4 eps (1+|y|));
    stopping on |step| alone is wrong next to very narrow components."""
    scales = torch.exp(logscales)
    cand = means + scales * y.unsqueeze(1)
    lb, ub = cand.amin(1), cand.amax(1)
    x = 0.5 * (lb + ub)
    rtol = 4 * torch.finfo(y.dtype).eps * (1 + y.abs())
    it = 0
    for it in range(1, max_iters + 1):
        f, ldj = mixlog_forward(x, logits, means, logscales)
        r = f - y
        gt = r > 0
        ub = torch.where(gt, x, ub)
        lb = torch.where(gt, lb, x)
        done = (ub - lb <= tol) | (r.abs() <= rtol)
        if bool(done.all()):
            break
        mid = 0.5 * (lb + ub)
        xn = x - r * torch.exp(-ldj)
        xn = mid if it % 4 == 0 else torch.where((xn >= lb) & (xn <= ub), xn, mid)
        x = torch.where(done, x, xn)
    return (x, it) if return_iters else x


# ----------------------------------------------------------------------------- layout ops
def checkerboard_split(x):
    B, C, H, W = x.shape
    v = x.reshape(B, C, H // 2, 2, W // 2, 2)
    a = torch.stack((v[:, :, :, 0, :, 0], v[:, :, :, 1, :, 1]), 3)   # (i+j) even
    b = torch.stack((v[:, :, :, 0, :, 1], v[:, :, :, 1, :, 0]), 3)   # (i+j) odd
    return a.reshape(B, C, H, W // 2), b.reshape(B, C, H, W // 2)


def checkerboard_merge(ab):
    a, b = ab
    B, C, H, W2 = a.shape
    a, b = a.reshape(B, C, H // 2, 2, W2), b.reshape(B, C, H // 2, 2, W2)
    top = torch.stack((a[:, :, :, 0], b[:, :, :, 0]), -1)            # even rows: a b a b ..
    bot = torch.stack((b[:, :, :, 1], a[:, :, :, 1]), -1)            # odd rows:  b a b a ..
    return torch.stack((top, bot), 3).reshape(B, C, H, 2 * W2)


def squeeze2(x):
    """[B,C,H,W] -> [B,4C,H/2,W/2]; out channel = c*4 + (row%2)*2 + (col%2)."""
    B, C, H, W = x.shape
    return x.view(B, C, H // 2, 2, W // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(B, 4 * C, H // 2, W // 2)


def unsqueeze2(x):
    B, C, H, W = x.shape
    return x.view(B, C // 4, 2, 2, H, W).permute(0, 1, 4, 2, 5, 3).reshape(B, C // 4, 2 * H, 2 * W)


def sumflat(x):
    return x.flatten(1).sum(1)


# ----------------------------------------------------------------------------- conditioner
def concat_elu(x):
    return F.elu(torch.cat((x, -x), 1))


class GatedConv(nn.Module):
    """x + a*sigmoid(b), (a,b) = conv_out(drop(celu(conv3x3(celu(x)) [+ aux 1x1]))) ; conv_out 1x1 (nin) or 3x3."""

    def __init__(self, ch, aux_ch=None, nin=True, drop=0.0):
        super().__init__()
        self.c1 = nn.Conv2d(2 * ch, ch, 3, padding=1)
        self.aux = nn.Conv2d(2 * aux_ch, ch, 1) if aux_ch else None
        self.c2 = nn.Conv2d(2 * ch, 2 * ch, 1 if nin else 3, padding=0 if nin else 1)
        self.drop = drop

    def forward(self, x, aux=None):
        h = self.c1(concat_elu(x))
        if self.aux is not None:
            h = h + self.aux(concat_elu(aux))
        h = concat_elu(h)
        if self.drop > 0:
            h = F.dropout(h, self.drop, self.training)
        a, b = self.c2(h).chunk(2, 1)
        return x + a * torch.sigmoid(b)


class GatedAttn(nn.Module):
    """x + gate(proj2(MHA(proj1(x + pos)))) over the H*W positions. proj1 channel order: [q(all heads) | k | v]."""

    def __init__(self, ch, heads=4, drop=0.0):
        super().__init__()
        self.proj1 = nn.Linear(ch, 3 * ch)
        self.proj2 = nn.Linear(ch, 2 * ch)
        self.heads, self.drop = heads, drop

    def forward(self, x, pos):                       # x [B,T,C], pos [T,C]
        B, T, C = x.shape
        q, k, v = self.proj1(x + pos).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(q, k, v)
        o = o.transpose(1, 2).reshape(B, T, C)
        if self.drop > 0:
            o = F.dropout(o, self.drop, self.training)
        a, b = self.proj2(o).chunk(2, -1)
        return x + a * torch.sigmoid(b)


class Block(nn.Module):
    def __init__(self, ch, heads, aux_ch, drop):
        super().__init__()
        self.conv = GatedConv(ch, aux_ch, True, drop)
        self.ln1 = nn.LayerNorm(ch)
        self.attn = GatedAttn(ch, heads, drop) if heads else None
        self.ln2 = nn.LayerNorm(ch) if heads else None

    def forward(self, x, pos, aux=None):
        B, C, H, W = x.shape
        x = self.conv(x, aux)
        x = self.ln1(x.flatten(2).transpose(1, 2))   # [B,T,C]
        if self.attn is not None:
            x = self.ln2(self.attn(x, pos))
        return x.transpose(1, 2).reshape(B, C, H, W)


class Conditioner(nn.Module):
    def __init__(self, in_ch, hw, filters=96, blocks=10, components=32, heads=4, aux_ch=None, drop=0.0,
                 out_std=0.01):
        super().__init__()
        self.K = components
        self.pos = nn.Parameter(0.01 * torch.randn(hw[0] * hw[1], filters))
        self.proj_in = nn.Conv2d(in_ch, filters, 3, padding=1)
        self.blocks = nn.ModuleList(Block(filters, heads, aux_ch, drop) for _ in range(blocks))
        self.proj_out = nn.Conv2d(filters, in_ch * (2 + 3 * components), 3, padding=1)
        nn.init.normal_(self.proj_out.weight, std=out_std)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x, aux=None):
        B, C, H, W = x.shape
        h = self.proj_in(x)
        for blk in self.blocks:
            h = blk(h, self.pos, aux)
        h = self.proj_out(h).view(B, 2 + 3 * self.K, C, H, W)
        a, b, logits, means, logscales = h.split((1, 1, self.K, self.K, self.K), 1)
        return torch.tanh(a.squeeze(1)), b.squeeze(1), logits, means, logscales.clamp(min=MIN_LOGSCALE)


# ----------------------------------------------------------------------------- flow layers on (keep, change) pairs
class PairNorm(nn.Module):
    """Per-element ActNorm of each half ('pixel', official Flow++) or per-channel ('channel', Glow)."""

    def __init__(self, ch, hw, kind="pixel"):
        super().__init__()
        shape = (ch, *hw) if kind == "pixel" else (ch, 1, 1)
        self.kind, self.hw = kind, hw
        self.log_g = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for _ in range(2))
        self.b = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for _ in range(2))

    @torch.no_grad()
    def init_from(self, xs):
        dims = 0 if self.kind == "pixel" else (0, 2, 3)
        for i, x in enumerate(xs):
            m, v = x.mean(dims, keepdim=True)[0], x.var(dims, unbiased=False, keepdim=True)[0]
            self.log_g[i].copy_(-0.5 * torch.log(v + 1e-2))
            self.b[i].copy_(-m * self.log_g[i].exp())

    def ldj(self):
        n = 1 if self.kind == "pixel" else self.hw[0] * self.hw[1]
        return n * (self.log_g[0].sum() + self.log_g[1].sum())

    def forward(self, xs, aux=None):
        return tuple(x * g.exp() + b for x, g, b in zip(xs, self.log_g, self.b)), self.ldj()

    def inverse(self, ys, aux=None):
        return tuple((y - b) * (-g).exp() for y, g, b in zip(ys, self.log_g, self.b))


class PairPointwise(nn.Module):
    """Invertible 1x1 conv, one plain (slogdet) C x C matrix per half; y = W x."""

    def __init__(self, ch, hw, noise=1e-3):
        super().__init__()
        self.n = hw[0] * hw[1]
        self.W = nn.ParameterList(nn.Parameter(torch.eye(ch) + noise * torch.randn(ch, ch)) for _ in range(2))

    def forward(self, xs, aux=None):
        ldj = self.n * sum(torch.linalg.slogdet(W)[1] for W in self.W)
        return tuple(F.conv2d(x, W[:, :, None, None]) for x, W in zip(xs, self.W)), ldj

    def inverse(self, ys, aux=None):
        return tuple(F.conv2d(y, torch.linalg.inv(W)[:, :, None, None]) for y, W in zip(ys, self.W))


class MixLogCoupling(nn.Module):
    """y_change = logit(MixLogCDF(x_change; params(x_keep))) * exp(a) + b."""

    inverse_fn = staticmethod(mixlog_inverse)

    def __init__(self, ch, hw, **kw):
        super().__init__()
        self.net = Conditioner(ch, hw, **kw)

    def forward(self, xs, aux=None):
        keep, change = xs
        a, b, logits, means, logscales = self.net(keep, aux)
        y, ldj = mixlog_forward(change, logits, means, logscales)
        return (keep, y * a.exp() + b), sumflat(ldj + a)

    def inverse(self, ys, aux=None):
        keep, change = ys
        a, b, logits, means, logscales = self.net(keep, aux)
        return keep, type(self).inverse_fn((change - b) * (-a).exp(), logits, means, logscales)


class PairStack(nn.Module):
    """n x [PairNorm, PairPointwise, MixLogCoupling, Flip]."""

    def __init__(self, n, ch, hw, norm, **kw):
        super().__init__()
        layers = []
        for _ in range(n):
            layers += [PairNorm(ch, hw, norm), PairPointwise(ch, hw), MixLogCoupling(ch, hw, **kw)]
        self.layers = nn.ModuleList(layers)

    def forward(self, xs, aux=None, init=False):
        ldj = 0.0
        for l in self.layers:
            if init and isinstance(l, PairNorm):
                l.init_from(xs)
            xs, d = l(xs, aux)
            ldj = ldj + d
            if isinstance(l, MixLogCoupling):
                xs = (xs[1], xs[0])
        return xs, ldj

    def inverse(self, ys, aux=None):
        for l in reversed(self.layers):
            if isinstance(l, MixLogCoupling):
                ys = (ys[1], ys[0])
            ys = l.inverse(ys, aux)
        return ys


@dataclass
class Config:
    shape: tuple = (3, 32, 32)
    filters: int = 96
    blocks: int = 10
    components: int = 32
    heads: int = 4
    dequant_filters: int = 96
    dequant_blocks: int = 2
    aux_ch: int = 32
    layers: tuple = (4, 2, 3)        # checkerboard, channel (after squeeze), checkerboard (after squeeze)
    dequant_layers: int = 4
    norm: str = "pixel"
    drop: float = 0.0


class FlowPP(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        C, H, W = cfg.shape
        kw = dict(components=cfg.components, heads=cfg.heads, drop=cfg.drop)
        self.ctx_in = nn.Conv2d(2 * C, cfg.aux_ch, 3, padding=1)
        self.ctx = nn.ModuleList(GatedConv(cfg.aux_ch, None, False, cfg.drop) for _ in range(3))
        self.dequant = PairStack(cfg.dequant_layers, C, (H, W // 2), cfg.norm, filters=cfg.dequant_filters,
                                 blocks=cfg.dequant_blocks, aux_ch=cfg.aux_ch, **kw)
        kw.update(filters=cfg.filters, blocks=cfg.blocks)
        n1, n2, n3 = cfg.layers
        self.s1 = PairStack(n1, C, (H, W // 2), cfg.norm, **kw)
        self.s2 = PairStack(n2, 2 * C, (H // 2, W // 2), cfg.norm, **kw)
        self.s3 = PairStack(n3, 4 * C, (H // 2, W // 4), cfg.norm, **kw)

    def dequantize(self, x, eps, init=False):
        """x: integer-valued floats in [0,255]. Returns x+u, log-weight = log|du/deps| - log q(eps)."""
        c = self.ctx_in(torch.cat(checkerboard_split(x / 256.0 - 0.5), 1))
        for g in self.ctx:
            c = g(c)
        es, ldj = self.dequant(checkerboard_split(eps), c, init)
        v = checkerboard_merge(es)
        u = torch.sigmoid(v)
        ldj = ldj - sumflat(F.softplus(v) + F.softplus(-v))
        return x + u, ldj + sumflat(0.5 * eps * eps + 0.5 * math.log(2 * math.pi))

    def flow(self, x, init=False):
        p = x * (0.9 / 256) + 0.05
        h = torch.log(p) - torch.log1p(-p)
        ldj = sumflat(math.log(0.9 / 256) + F.softplus(h) + F.softplus(-h))
        hs, d = self.s1(checkerboard_split(h), None, init)
        ldj = ldj + d
        hs, d = self.s2(squeeze2(checkerboard_merge(hs)).chunk(2, 1), None, init)
        ldj = ldj + d
        hs, d = self.s3(checkerboard_split(torch.cat(hs, 1)), None, init)
        return checkerboard_merge(hs), ldj + d

    def forward(self, x, eps=None, init=False):
        """-> per-sample lower bound on log p(x) in nats."""
        if eps is None:
            eps = torch.randn_like(x)
        xd, lw = self.dequantize(x, eps, init)
        z, ldj = self.flow(xd, init)
        return ldj + lw - sumflat(0.5 * z * z + 0.5 * math.log(2 * math.pi))

    def loss(self, x, eps=None, init=False):
        nll = -self(x, eps, init).mean()
        return nll, nll / (math.log(2) * x[0].numel())

    @torch.no_grad()
    def flow_inverse(self, z):
        h = checkerboard_merge(self.s3.inverse(checkerboard_split(z)))
        h = unsqueeze2(torch.cat(self.s2.inverse(h.chunk(2, 1)), 1))
        h = checkerboard_merge(self.s1.inverse(checkerboard_split(h)))
        return (torch.sigmoid(h) - 0.05) * (256 / 0.9)

    @torch.no_grad()
    def sample(self, n, z=None):
        C, H, W = self.cfg.shape
        if z is None:
            like = self.ctx_in.weight
            z = torch.randn(n, 4 * C, H // 2, W // 2, dtype=like.dtype, device=like.device)
        return self.flow_inverse(z).floor().clamp(0, 255)


def train_step(model, opt, x, loss_fn=None, max_norm=1.0):
    opt.zero_grad(set_to_none=True)
    nll = (loss_fn or model.loss)(x)[0] / (math.log(2) * x[0].numel())
    nll.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    opt.step()
    return nll


# ----------------------------------------------------------------------------- self checks
def _ldj_check(f, x):
    """f: x -> (y, ldj). Compare ldj[0] with the dense autograd Jacobian (batch of 1)."""
    _, ldj = f(x)
    n = x.numel()
    J = torch.autograd.functional.jacobian(lambda t: f(t)[0].reshape(-1), x).reshape(n, n)
    return abs(float(ldj.detach().reshape(-1)[0]) - float(torch.linalg.slogdet(J)[1]))


def self_check():
    torch.manual_seed(0)
    for dt, tol in ((torch.float64, 1e-7), (torch.float32, 1e-3)):
        torch.set_default_dtype(dt)
        K, shape = 5, (2, 3, 4, 4)
        x = 3 * torch.randn(shape)
        p = [torch.randn(2, K, 3, 4, 4) for _ in range(3)]
        y, ldj = mixlog_forward(x, *p)
        t = 1e-12 if dt == torch.float64 else 1e-6
        xi, it = mixlog_inverse(y, *p, tol=t, return_iters=True)
        xn, itn = mixlog_inverse_newton(y, *p, tol=t, return_iters=True)
        g = torch.autograd.functional.jvp(lambda t_: mixlog_forward(t_, *p)[0], x, torch.ones_like(x))[1].log()
        print(f"{dt} mixlog: bisect err {float((xi-x).abs().max()):.2e} ({it} it), newton {float((xn-x).abs().max()):.2e}"
              f" ({itn} it), ldj vs autograd {float((g-ldj).abs().max()):.2e}")
        for lay in (checkerboard_merge(checkerboard_split(x)), unsqueeze2(squeeze2(x))):
            assert torch.equal(lay, x)
        cfg = Config(shape=(1, 4, 4), filters=8, blocks=1, components=3, heads=2, dequant_filters=8, dequant_blocks=1, aux_ch=4)
        m = FlowPP(cfg)
        for q in m.parameters():
            q.data.add_(0.1 * torch.randn_like(q))
        xim = torch.randint(0, 256, (1, 1, 4, 4)).to(dt)
        xd, _ = m.dequantize(xim, torch.randn_like(xim))
        e1 = _ldj_check(m.flow, xd.detach())
        e2 = _ldj_check(lambda e: (m.dequantize(xim, e)[0], m.dequantize(xim, e)[1] - sumflat(0.5*e*e + 0.5*math.log(2*math.pi))),
                        torch.randn_like(xim))
        z, _ = m.flow(xd)
        rt = float((m.flow_inverse(z) - xd).abs().max())
        print(f"{dt} flow: ldj err {e1:.2e}, dequant ldj err {e2:.2e}, round trip err {rt:.2e} (pixel units 0..256)")
        assert e1 < tol * 10 and e2 < tol * 10
    torch.set_default_dtype(torch.float32)
    m = FlowPP(Config(filters=32, blocks=2, components=8, dequant_filters=32))
    x = torch.randint(0, 256, (16, 3, 32, 32)).float()
    with torch.no_grad():
        print("init bpd", float(m.loss(x, init=True)[1]), "params", sum(p.numel() for p in m.parameters()))
    full = FlowPP(Config())
    print("full CIFAR config params", sum(p.numel() for p in full.parameters()), "(official: 31,443,440)")


if __name__ == "__main__":
    self_check()
