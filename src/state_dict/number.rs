//! The types of numbers in files, and how they are widened.

use burn::tensor::{bf16, f16};

use super::Values;
use super::fault::Fault;

/// A type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    BF16,
    F32,
    F64,
}

/// Which byte of a number is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl Number {
    /// Bytes of a number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Bytes of a number after it is widened.
    pub(super) fn widened(self) -> usize {
        match self {
            Self::F16 | Self::BF16 | Self::F32 => 4,
            _ => 8,
        }
    }

    /// The numbers of bytes whose count is a multiple of the width. Nothing is rounded: each type
    /// is a subset of the one that it is widened to, or the number is checked.
    pub(super) fn values(self, bytes: &[u8], order: ByteOrder) -> Result<Values, Fault> {
        macro_rules! numbers {
            ($kind:ty, $widen:expr) => {{
                let (numbers, rest) = bytes.as_chunks();
                assert!(rest.is_empty(), "{} bytes of {self:?}", bytes.len());
                numbers
                    .iter()
                    .map(|&bytes| {
                        $widen(match order {
                            ByteOrder::Little => <$kind>::from_le_bytes(bytes),
                            ByteOrder::Big => <$kind>::from_be_bytes(bytes),
                        })
                    })
                    .collect()
            }};
        }
        Ok(match self {
            Self::F16 => Values::F32(numbers!(u16, |bits| f16::from_bits(bits).to_f32())),
            Self::BF16 => Values::F32(numbers!(u16, |bits| bf16::from_bits(bits).to_f32())),
            Self::F32 => Values::F32(numbers!(f32, |value| value)),
            Self::F64 => Values::F64(numbers!(f64, |value| value)),
            Self::I8 => Values::I64(numbers!(i8, i64::from)),
            Self::I16 => Values::I64(numbers!(i16, i64::from)),
            Self::I32 => Values::I64(numbers!(i32, i64::from)),
            Self::I64 => Values::I64(numbers!(i64, |value| value)),
            Self::U8 => Values::I64(numbers!(u8, i64::from)),
            Self::U16 => Values::I64(numbers!(u16, i64::from)),
            Self::U32 => Values::I64(numbers!(u32, i64::from)),
            Self::U64 => {
                let small = |value: u64| {
                    i64::try_from(value).map_err(|_| {
                        let most = i64::MAX;
                        Fault::unsupported(format!("expected integers up to {most}, found {value}"))
                    })
                };
                let values: Result<Vec<i64>, Fault> = numbers!(u64, small);
                Values::I64(values?)
            }
            Self::Bool => {
                let truth = |value: u8| match value {
                    0 | 1 => Ok(i64::from(value)),
                    _ => Err(Fault::broken(format!("expected a boolean, 0 or 1, found {value}"))),
                };
                let values: Result<Vec<i64>, Fault> = numbers!(u8, truth);
                Values::I64(values?)
            }
        })
    }
}
