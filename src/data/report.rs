//! What a reader left out of a data set, and other remarks on it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Number of paths that the text of a report names for each remark; the rest are only counted.
const NAMED: usize = 3;

/// A remark on a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Remark {
    /// Left out: its name begins with a dot, such as `.ipynb_checkpoints`, `.Trash-1000`,
    /// `._0.png`.
    Hidden,
    /// Left out: an operating system or file server created it, such as `__MACOSX`, `Thumbs.db`,
    /// `@eaDir`, `lost+found`.
    System,
    /// Left out: a link to a folder. Links may form cycles, and lead out of the data set.
    LinkedFolder,
    /// Left out: neither a file nor a folder, such as a named pipe.
    NotAFile,
    /// Left out: an image by its extension, in a format that is not read, such as `.webp`, `.gif`,
    /// `.bmp`.
    OtherFormat,
    /// Left out: its extension is not that of an image.
    NotAnImage,
    /// Left out: a folder without images, at any depth. It is not a class.
    NoImages,
    /// Left out: it lies beside the training and the test folder.
    BesideSplit,
    /// Left out: it is not a file of the data set, or it is another copy of one that was read.
    NotInSet,
    /// Missing: the complete data set has it.
    Missing,
    /// Read: another file of the folder has the same name apart from its extension, so both may
    /// show the same picture.
    SameStem,
    /// Read, and turned or mirrored as its EXIF orientation requires.
    Turned,
    /// Read: a test image that equals a training image in every pixel.
    InTraining,
    /// A class with test images but no training images.
    Untrained,
    /// A class with training images but no test images.
    Untested,
}

impl Remark {
    /// Whether it means that something was not read.
    pub fn is_left_out(self) -> bool {
        // The variants that mean this come first.
        self <= Self::NotInSet
    }

    fn text(self) -> &'static str {
        match self {
            Self::Hidden => "left out, hidden",
            Self::System => "left out, files of the system",
            Self::LinkedFolder => "left out, links to folders",
            Self::NotAFile => "left out, neither files nor folders",
            Self::OtherFormat => "left out, images of formats that are not read",
            Self::NotAnImage => "left out, files without the extension of an image",
            Self::NoImages => "left out, folders without images",
            Self::BesideSplit => "left out, beside the training and the test folder",
            Self::NotInSet => "left out, not files of the data set",
            Self::Missing => "missing, files of the complete data set",
            Self::SameStem => "read, files with the name of another apart from the extension",
            Self::Turned => "rotated or mirrored as their EXIF orientation requires",
            Self::InTraining => "test images that equal a training image",
            Self::Untrained => "classes with test images but no training images",
            Self::Untested => "classes with training images but no test images",
        }
    }
}

/// A remark and the path it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportEntry {
    /// The remark.
    pub remark: Remark,
    /// The file or folder.
    pub path: PathBuf,
}

/// What a reader left out of a data set, and other remarks on it, sorted by remark, then by path.
///
/// As text it has one line for each remark, with the number of paths and the first few of them.
///
/// # Example
///
/// ```
/// use flowkit::data::{Remark, cifar10};
///
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("data_batch_1.bin"), vec![1; 3073])?;
/// # std::fs::write(dir.path().join("test_batch.bin"), vec![1; 3073])?;
/// std::fs::write(dir.path().join("Thumbs.db"), b"thumbnails")?;
/// let split = cifar10::read_dir(&dir)?;
/// assert_eq!(split.report.of(Remark::System).count(), 1);
/// assert!(split.report.to_string().contains("Thumbs.db"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    entries: Vec<ReportEntry>,
}

impl Report {
    /// All remarks.
    pub fn entries(&self) -> &[ReportEntry] {
        &self.entries
    }

    /// Whether there are no remarks.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The paths with this remark.
    pub fn of(&self, remark: Remark) -> impl Iterator<Item = &Path> {
        self.entries
            .iter()
            .filter(move |entry| entry.remark == remark)
            .map(|entry| entry.path.as_path())
    }

    /// Everything that was not read.
    pub fn left_out(&self) -> impl Iterator<Item = &ReportEntry> {
        self.entries.iter().filter(|entry| entry.remark.is_left_out())
    }
}

impl FromIterator<ReportEntry> for Report {
    fn from_iter<I: IntoIterator<Item = ReportEntry>>(entries: I) -> Self {
        let mut entries: Vec<ReportEntry> = entries.into_iter().collect();
        entries.sort();
        entries.dedup();
        Self { entries }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.write_str("nothing was left out");
        }
        for (index, group) in self.entries.chunk_by(|a, b| a.remark == b.remark).enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {}", group[0].remark.text(), group.len())?;
            for (index, entry) in group.iter().take(NAMED).enumerate() {
                write!(f, "{}{}", if index == 0 { " (" } else { ", " }, entry.path.display())?;
            }
            f.write_str(if group.len() > NAMED { ", ...)" } else { ")" })?;
        }
        Ok(())
    }
}
