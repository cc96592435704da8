//! The classes that the labels in files of MNIST and EMNIST represent.

/// The classes that the labels in a file represent.
///
/// EMNIST's class names are those of its mapping files: digits, then capital letters, then small
/// letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSet {
    /// Labels 0 to 9 are the digits, or the ten classes of Fashion-MNIST and KMNIST.
    Digits,
    /// EMNIST Letters: labels 1 to 26 are `a` to `z`, of either case. Class 0 is `a`, label 1.
    Letters,
    /// EMNIST Balanced and EMNIST By_Merge: 47 classes. Small letters that look like their capitals
    /// share the class of the capital.
    Merged,
    /// EMNIST By_Class: 62 classes.
    ByClass,
    /// Labels from 0; each class is named by its number.
    Numbered {
        /// Number of classes, at most 256.
        n_classes: u16,
    },
}

impl LabelSet {
    /// The label set of a data set, by its name in lower case with dashes between its words.
    pub(super) fn of(set: &str) -> Self {
        let Some(at) = set.find("emnist") else { return Self::Digits };
        // EMNIST's authors write both `byclass` and `By_Class`.
        match &*set[at..].trim_start_matches("emnist").replace('-', "") {
            "letters" => Self::Letters,
            "balanced" | "bymerge" => Self::Merged,
            "byclass" => Self::ByClass,
            _ => Self::Digits,
        }
    }

    /// The label of class 0.
    pub(super) fn first(self) -> u8 {
        u8::from(self == Self::Letters)
    }

    /// The names of the classes.
    pub fn names(self) -> Vec<String> {
        let named = |letters: &str| letters.chars().map(String::from).collect();
        match self {
            Self::Digits => named("0123456789"),
            Self::Letters => named("abcdefghijklmnopqrstuvwxyz"),
            Self::Merged => named("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
            Self::ByClass => {
                named("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
            }
            Self::Numbered { n_classes } => {
                (0..n_classes.min(256)).map(|number| number.to_string()).collect()
            }
        }
    }
}
