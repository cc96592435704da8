//! Checks of a kernel's operands before any element is read: their shapes and types must fit each
//! other.
//!
//! Each operation states once which operands fit ([`Operands::expect`]); its function, its plain
//! form and its methods of the backends' traits use this statement. An operand that does not fit is
//! a programming error. The panic names that operand, what was expected, and all operands found.

use std::fmt::Write;

#[cfg(feature = "_gpu")]
use burn_cubecl::tensor::CubeTensor;
#[cfg(feature = "flex")]
use burn_flex::FlexTensor;

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{DType, Int, Shape, Tensor};

/// Anything with a shape and a type: tensors, and the tensors of backends with kernels.
pub trait Shaped {
    fn shape(&self) -> Shape;
    fn dtype(&self) -> DType;
}

impl<const D: usize> Shaped for Tensor<D> {
    fn shape(&self) -> Shape {
        Self::shape(self)
    }

    fn dtype(&self) -> DType {
        Self::dtype(self)
    }
}

impl<const D: usize> Shaped for Tensor<D, Int> {
    fn shape(&self) -> Shape {
        Self::shape(self)
    }

    fn dtype(&self) -> DType {
        Self::dtype(self)
    }
}

impl Shaped for DispatchTensor {
    fn shape(&self) -> Shape {
        TensorMetadata::shape(self)
    }

    fn dtype(&self) -> DType {
        TensorMetadata::dtype(self)
    }
}

#[cfg(feature = "flex")]
impl Shaped for FlexTensor {
    fn shape(&self) -> Shape {
        self.layout().shape().clone()
    }

    fn dtype(&self) -> DType {
        Self::dtype(self)
    }
}

#[cfg(feature = "_gpu")]
impl Shaped for CubeTensor {
    fn shape(&self) -> Shape {
        self.meta.shape().clone()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl<S: Shaped> Shaped for &S {
    fn shape(&self) -> Shape {
        (*self).shape()
    }

    fn dtype(&self) -> DType {
        (*self).dtype()
    }
}

/// Name, shape and type of an operand.
#[derive(Debug, Clone)]
pub struct Operand {
    name: &'static str,
    shape: Shape,
    dtype: DType,
}

impl Operand {
    pub fn of(name: &'static str, tensor: &impl Shaped) -> Self {
        Self { name, shape: tensor.shape(), dtype: tensor.dtype() }
    }

    fn dims(&self) -> &[usize] {
        self.shape.as_slice()
    }
}

/// The operands of one call. All are of one type, except those whose type the call states.
#[derive(Debug)]
pub struct Operands<const N: usize> {
    kernel: &'static str,
    operands: [Operand; N],
}

/// Proof that the operands of a call were checked. Only [`Operands::checked`] makes one, at the end
/// of the checks.
#[derive(Debug)]
pub struct Checked(());

impl<const N: usize> Operands<N> {
    /// The operands of a call to `kernel`, all of one type.
    ///
    /// # Panics
    /// If the types differ.
    pub fn new(kernel: &'static str, operands: [Operand; N]) -> Self {
        Self::of_types(kernel, operands.map(|operand| (operand, None)))
    }

    /// The operands of a call to `kernel`, each with the type that it must have, or `None` for the
    /// type of the first.
    ///
    /// # Panics
    /// If an operand has another type.
    pub fn of_types(kernel: &'static str, operands: [(Operand, Option<DType>); N]) -> Self {
        let types = operands.each_ref().map(|(_, dtype)| *dtype);
        let call = Self { kernel, operands: operands.map(|(operand, _)| operand) };
        let Operand { name, dtype, .. } = &call.operands[0];
        for (operand, stated) in call.operands.iter().zip(types) {
            match stated {
                Some(stated) if operand.dtype != stated => {
                    call.refuse(operand, &format!("of {stated:?}"))
                }
                None if operand.dtype != *dtype => {
                    call.refuse(operand, &format!("of {dtype:?}, as `{name}` is"))
                }
                _ => {}
            }
        }
        call
    }

    /// The operand with this name, if the call has it.
    fn find(&self, name: &str) -> Option<&Operand> {
        self.operands.iter().find(|operand| operand.name == name)
    }

    /// Lengths of the axes of an operand that the call must have.
    ///
    /// # Panics
    /// If the operand does not have `D` axes.
    pub fn dims<const D: usize>(&self, name: &str) -> [usize; D] {
        let Some(operand) = self.find(name) else {
            unreachable!("{} has no operand `{name}`", self.kernel)
        };
        let Ok(dims) = operand.dims().try_into() else {
            self.refuse(operand, &format!("of {D} axes"))
        };
        dims
    }

    /// Requires this shape of an operand, if the call has that operand. `None` allows any length.
    ///
    /// # Panics
    /// If the operand has another shape.
    pub fn expect(&self, name: &str, shape: &[Option<usize>]) {
        let Some(operand) = self.find(name) else { return };
        let fits = |(found, expected): (&usize, &Option<usize>)| {
            expected.is_none_or(|expected| expected == *found)
        };
        if operand.dims().len() != shape.len() || !operand.dims().iter().zip(shape).all(fits) {
            let lengths: Vec<String> = shape
                .iter()
                .map(|length| length.map_or_else(|| "_".into(), |length| length.to_string()))
                .collect();
            self.refuse(operand, &format!("of shape [{}]", lengths.join(", ")));
        }
    }

    /// Requires any other rule of an operand, if the call has that operand. `fits` says whether the
    /// operand obeys it, and `rule` completes the message "must be".
    ///
    /// # Panics
    /// Unless `fits`.
    pub fn require(&self, name: &str, fits: bool, rule: &str) {
        if let Some(operand) = self.find(name).filter(|_| !fits) {
            self.refuse(operand, rule);
        }
    }

    /// Requires all other operands to have the shape of the first, and ends the checks.
    ///
    /// # Panics
    /// If a shape differs.
    pub fn alike(self) -> Checked {
        let first = self.operands[0].dims();
        let same: Vec<Option<usize>> = first.iter().copied().map(Some).collect();
        self.operands.iter().for_each(|operand| self.expect(operand.name, &same));
        self.checked()
    }

    /// Ends the checks. Call it after all of them.
    pub fn checked(self) -> Checked {
        Checked(())
    }

    #[cold]
    fn refuse(&self, operand: &Operand, expected: &str) -> ! {
        let mut all = String::new();
        for Operand { name, shape, dtype } in &self.operands {
            let _ = write!(all, " `{name}` {:?} {dtype:?},", shape.as_slice());
        }
        let all = all.trim_end_matches(',');
        panic!("{}: `{}` must be {expected}; found{all}", self.kernel, operand.name)
    }
}

/// A shape in which every length is fixed.
pub fn exactly<const D: usize>(shape: [usize; D]) -> [Option<usize>; D] {
    shape.map(Some)
}

/// The operands of a call, named after the variables that hold them. Those after a semicolon have
/// the type that follows their name; all others have the type of the first.
macro_rules! operands {
    ($kernel:literal, $($operand:ident),+; $($typed:ident: $dtype:expr),+) => {
        $crate::kernel::operands::Operands::of_types(
            $kernel,
            [
                $(($crate::kernel::operands::Operand::of(stringify!($operand), &$operand), None),)+
                $((
                    $crate::kernel::operands::Operand::of(stringify!($typed), &$typed),
                    Some($dtype),
                )),+
            ],
        )
    };
    ($kernel:literal, $($operand:ident),+) => {
        $crate::kernel::operands::Operands::new(
            $kernel,
            [$($crate::kernel::operands::Operand::of(stringify!($operand), &$operand)),+],
        )
    };
}
pub(super) use operands;
