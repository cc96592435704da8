//! What the name of one folder indicates about a split.

use std::ffi::OsStr;

/// Words that name a training set, and the other parts of a data set.
const TRAINS: [&str; 6] = ["train", "training", "trn", "trainval", "trainvalid", "traintest"];
const TESTS: [&str; 12] = [
    "test",
    "testing",
    "tst",
    "testdev",
    "validate",
    "validating",
    "validation",
    "minival",
    "devtest",
    "holdout",
    "heldout",
    "heldback",
];

/// Words that name a part of a data set, and other things too: Dev and Val are first names.
const AMBIGUOUS: [&str; 9] =
    ["val", "valid", "vld", "dev", "devel", "development", "eval", "evaluate", "evaluation"];

/// Ordinary words that name the other part beside a training set.
const COUNTERPARTS: [&str; 6] = ["unseen", "query", "queries", "gallery", "probe", "probes"];

/// Words that may be joined to other letters, as in `xtest`. Those of the second list are parts of
/// too many words, such as `valley`, to count except beside a name such as `xtrain` or `xtest`.
const JOINED_TESTS: [&str; 4] = ["test", "valid", "holdout", "heldout"];
const JOINED_COUNTERPARTS: [&str; 9] =
    ["val", "vld", "dev", "tst", "held", "unseen", "query", "gallery", "probe"];

/// Words that contain `train`, `test` or `valid` by chance; with an ending of [`INFLECTIONS`], too.
const ORDINARY: &[&str] = &[
    "train",
    "untrain",
    "retrain",
    "strain",
    "restrain",
    "constrain",
    "restraint",
    "constraint",
    "unrestrain",
    "unconstrain",
    "distrain",
    "detrain",
    "entrain",
    "overtrain",
    "eyestrain",
    "quatrain",
    "trainspotter",
    "trainspotting",
    "trainman",
    "trainload",
    "trainstation",
    "traintrack",
    "test",
    "untest",
    "contest",
    "protest",
    "attest",
    "detest",
    "latest",
    "pretest",
    "testament",
    "testimony",
    "testimonial",
    "testify",
    "testate",
    "intestate",
    "intestine",
    "intestinal",
    "testicle",
    "testosterone",
    "testy",
    "tester",
    "testbed",
    "greatest",
    "fastest",
    "shortest",
    "smartest",
    "lightest",
    "brightest",
    "tightest",
    "hottest",
    "wettest",
    "fattest",
    "fittest",
    "flattest",
    "whitest",
    "cutest",
    "quietest",
    "sweetest",
    "softest",
    "invalid",
    "validity",
    "validator",
];
const INFLECTIONS: [&str; 14] = [
    "", "s", "ed", "er", "ers", "ing", "ee", "ees", "able", "ant", "ants", "ation", "ations",
    "ings",
];

/// Words that may follow such a word in a name without changing its meaning.
const ENDINGS: [&str; 22] = [
    "",
    "set",
    "sets",
    "data",
    "dataset",
    "split",
    "part",
    "subset",
    "partition",
    "fold",
    "folder",
    "dir",
    "file",
    "files",
    "image",
    "images",
    "img",
    "imgs",
    "pictures",
    "photos",
    "samples",
    "examples",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Train,
    Test,
}

/// How a name indicates its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// By a word of its own.
    Word,
    /// By a word joined to other letters.
    Joined,
    /// By an ordinary word, which alone is a class.
    Counterpart,
    /// By a word that is part of many words, which counts only beside [`Joined`](Self::Joined).
    Weak,
}

/// The words of a folder's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SplitWords {
    /// In lower case. Punctuation, digits, and a capital after a small letter separate words.
    pub(super) words: Vec<String>,
    /// The part of a split that the name indicates.
    pub(super) role: Option<(Role, Evidence)>,
    /// Whether the whole name, apart from digits and punctuation, is that of a part of a split.
    pub(super) is_whole: bool,
    /// Whether the name, without digits, is a word that names other things too.
    pub(super) is_ambiguous: bool,
}

impl SplitWords {
    pub(super) fn of(name: &OsStr) -> Self {
        let name = name.to_string_lossy();
        let words = words(&name);
        let whole = words.concat();
        let is_ambiguous = AMBIGUOUS.contains(&&*name.to_lowercase());
        let of_word =
            || word_role(&whole).or_else(|| words.iter().find_map(|word| word_role(word)));
        let role = of_word().map(|role| (role, Evidence::Word));
        let role =
            role.or_else(|| joined_role(&name, &words)).or_else(|| counterpart(&whole, &words));
        Self { is_whole: word_role(&whole).is_some(), is_ambiguous, role, words }
    }

    /// Whether the name indicates this role, if only weakly.
    pub(super) fn is_role(&self, role: Role) -> bool {
        self.role.is_some_and(|(found, _)| found == role)
    }

    /// Whether the name indicates this role more than weakly.
    pub(super) fn is_strongly(&self, role: Role) -> bool {
        self.role.is_some_and(|(found, evidence)| found == role && evidence != Evidence::Weak)
    }

    /// Whether both names start with the same word, which is not that of a part of a split.
    pub(super) fn shares_start(&self, other: &Self) -> bool {
        let first = self.words.first();
        first == other.words.first() && first.is_some_and(|word| word_role(word).is_none())
    }

    /// Whether both names end in the same word, which is not that of a part of a split.
    pub(super) fn shares_end(&self, other: &Self) -> bool {
        let last = self.words.last();
        last == other.words.last() && last.is_some_and(|word| word_role(word).is_none())
    }
}

fn word_role(word: &str) -> Option<Role> {
    let any = |names: &[&str]| names.iter().any(|name| is_with_ending(word, name));
    if any(&TRAINS) {
        Some(Role::Train)
    } else {
        (any(&TESTS) || any(&AMBIGUOUS)).then_some(Role::Test)
    }
}

fn is_with_ending(word: &str, name: &str) -> bool {
    word.strip_prefix(name).is_some_and(|ending| ENDINGS.contains(&ending))
}

fn joined_role(name: &str, words: &[String]) -> Option<(Role, Evidence)> {
    let is_ordinary = |word: &str| {
        ORDINARY
            .iter()
            .any(|stem| word.strip_prefix(stem).is_some_and(|ending| INFLECTIONS.contains(&ending)))
    };
    let any = |parts: &[&str]| {
        words.iter().any(|word| !is_ordinary(word) && parts.iter().any(|part| word.contains(part)))
    };
    if any(&["train"]) {
        return Some((Role::Train, Evidence::Joined));
    }
    // MNIST's name for its test set. Its digits separate words.
    (any(&JOINED_TESTS) || name.to_lowercase().contains("t10k"))
        .then_some((Role::Test, Evidence::Joined))
}

fn counterpart(whole: &str, words: &[String]) -> Option<(Role, Evidence)> {
    // `art_gallery` beside `bullet_train` is a class: of these words only `unseen` counts within a
    // name.
    if COUNTERPARTS.iter().any(|name| is_with_ending(whole, name))
        || words.iter().any(|word| word == "unseen")
    {
        return Some((Role::Test, Evidence::Counterpart));
    }
    let is_weak =
        words.iter().any(|word| JOINED_COUNTERPARTS.iter().any(|part| word.contains(part)));
    is_weak.then_some((Role::Test, Evidence::Weak))
}

/// The words of a name in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if !letter.is_alphabetic() || was_small && letter.is_uppercase() {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().expect("there is a first word").extend(letter.to_lowercase());
        }
        was_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}
