//! What a reader left out of a data set, or found worth saying about it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Paths that the text of a report names for each remark; the rest are counted.
const NAMED: usize = 3;

/// What is said about a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Remark {
    /// Left out: its name begins with a dot, as `.ipynb_checkpoints`, `.Trash-1000`, `._0.png`.
    Hidden,
    /// Left out: an operating system or file server made it, as `__MACOSX`, `Thumbs.db`, `@eaDir`, `lost+found`.
    System,
    /// Left out: a link to a folder. Links may form cycles, and lead out of the data set.
    LinkedFolder,
    /// Left out: neither a file nor a folder, such as a named pipe.
    NotAFile,
    /// Left out: an image by its ending, of a format that is not read, as `.webp`, `.gif`, `.bmp`.
    OtherFormat,
    /// Left out: its ending is not that of an image.
    NotAnImage,
    /// Left out: no image is in this folder, at any depth. It is no class.
    NoImages,
    /// Left out: it stands beside the training and the test folder.
    BesideSplit,
    /// Left out: it is none of the files of the data set, or another form of one that was read.
    NotInSet,
    /// Not there, though the whole data set has it.
    Missing,
    /// Read: another file of the folder has the same name but for its ending, so both may show the same picture.
    SameStem,
    /// Read and turned or mirrored, as its EXIF orientation asks.
    Turned,
    /// Read: a test image whose every pixel is that of a training image.
    InTraining,
    /// A class with test images but no training images.
    Untrained,
    /// A class with training images but no test images.
    Untested,
}

impl Remark {
    /// Whether it says that something was not read.
    pub fn is_left_out(self) -> bool {
        // Those that say so stand first.
        self <= Self::NotInSet
    }

    fn text(self) -> &'static str {
        match self {
            Self::Hidden => "left out, hidden",
            Self::System => "left out, files of the system",
            Self::LinkedFolder => "left out, links to folders",
            Self::NotAFile => "left out, neither files nor folders",
            Self::OtherFormat => "left out, images of formats that are not read",
            Self::NotAnImage => "left out, not images by their endings",
            Self::NoImages => "left out, folders without images",
            Self::BesideSplit => "left out, beside the training and the test folder",
            Self::NotInSet => "left out, not files of the data set",
            Self::Missing => "missing from the whole data set",
            Self::SameStem => "read, though of the same name as another but for the ending",
            Self::Turned => "turned as their EXIF orientation asks",
            Self::InTraining => "test images that equal a training image",
            Self::Untrained => "classes with test images but no training images",
            Self::Untested => "classes with training images but no test images",
        }
    }
}

/// A remark and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportEntry {
    /// What is said.
    pub remark: Remark,
    /// The file or folder.
    pub path: PathBuf,
}

/// What a reader left out of a data set, or found worth saying about it, ordered by remark, then by path.
///
/// As text it has a line for each remark, which counts the paths and names the first.
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

    /// Whether everything was read, and nothing is to be said.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The paths that something is said about.
    pub fn of(&self, remark: Remark) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter(move |entry| entry.remark == remark).map(|entry| entry.path.as_path())
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
