//! Choice of the instruction set at run time.

use std::hint::black_box;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use pulp::{Arch, NullaryFnOnce};

use super::{MultiplyAdd, Unfused};

/// A computation that is compiled once per instruction set.
pub trait Kernel {
    /// The type of the result.
    type Output;

    /// Runs it. Implementations are `#[inline(always)]`.
    fn run<M: MultiplyAdd>(self) -> Self::Output;
}

/// An instruction set of this machine.
#[derive(Debug, Clone, Copy)]
pub struct InstructionSet(Arch);

impl InstructionSet {
    /// The widest one of the machine. Cheap: the standard library caches the answer.
    pub fn detect() -> Self {
        Self(Arch::new())
    }

    /// The baseline of the compilation target, which every machine has.
    #[cfg(test)]
    pub fn baseline() -> Self {
        Self(Arch::Scalar)
    }

    /// All instruction sets of the machine, the widest first.
    #[cfg(test)]
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            sets.extend(pulp::x86::V4::try_new().map(|simd| Self(Arch::V4(simd))));
            sets.extend(pulp::x86::V3::try_new().map(|simd| Self(Arch::V3(simd))));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(pulp::aarch64::Neon::try_new().map(|simd| Self(Arch::Neon(simd))));
        sets.push(Self::baseline());
        sets
    }

    /// Runs a kernel in this instruction set.
    #[inline]
    pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Arch::V4(simd) => simd.vectorize(Run::<K, super::Fused>::new(kernel)),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Arch::V3(simd) => simd.vectorize(Run::<K, super::Fused>::new(kernel)),
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(simd) => simd.vectorize(Run::<K, super::Fused>::new(kernel)),
            _ => Run::<K, Unfused>::new(kernel).call(),
        }
    }
}

/// A kernel with its arithmetic, in the form that pulp requires.
struct Run<K, M> {
    kernel: K,
    arithmetic: PhantomData<M>,
}

impl<K, M> Run<K, M> {
    #[inline(always)]
    fn new(kernel: K) -> Self {
        Self { kernel, arithmetic: PhantomData }
    }
}

impl<K: Kernel, M: MultiplyAdd> NullaryFnOnce for Run<K, M> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        black_box(&MaybeUninit::<CacheLine>::uninit());
        self.kernel.run::<M>()
    }
}

/// What aligns the stack of a kernel that has one.
///
/// Arrays of lanes lie on the stack where registers do not suffice. The stack of a caller is
/// aligned to 16 bytes, so whether such a vector crosses a cache line would depend on the thread:
/// the mixture law took 16 % longer on the main thread than on one of rayon's.
#[repr(align(64))]
struct CacheLine(#[expect(dead_code, reason = "only its place matters")] [u8; 64]);
