//! Edits of zip archives: every field may become a lie. Checksums and packed bytes are those of the
//! edited contents, so that a reader gets past them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::bytes;
use super::zip::{DEFLATED, Field, Member, STORED, Zip};

/// A lie about an entry.
#[derive(Clone, Debug)]
enum Claim {
    Name(&'static str),
    LocalName(&'static str),
    Method(u16),
    LocalMethod(u16),
    Flags(u16),
    Checksum(u32),
    Size(Field),
    PackedSize(Field),
    LocalSize(Field),
    Start(Field),
    Wide,
}

impl Claim {
    fn apply(&self, member: &mut Member) {
        match *self {
            Self::Name(name) => member.name = name.into(),
            Self::LocalName(name) => member.local_name = Some(name.into()),
            Self::Method(method) => member.method = method,
            Self::LocalMethod(method) => member.local_method = Some(method),
            Self::Flags(flags) => member.flags = flags,
            Self::Checksum(bits) => member.checksum ^= bits,
            Self::Size(size) => member.size = size.of(member.size),
            Self::PackedSize(size) => member.packed_size = size,
            Self::LocalSize(size) => member.local_size = size,
            Self::Start(start) => member.start = start,
            Self::Wide => member.is_wide = true,
        }
    }
}

/// A lie about the archive.
#[derive(Clone, Debug)]
enum Whole {
    Wide,
    Count(Field),
    DirectorySize(Field),
    DirectoryStart(Field),
    Comment(Vec<u8>),
    Tail(Vec<u8>),
}

/// One change, where `C` changes the contents of an entry.
#[derive(Clone, Debug)]
enum Edit<C> {
    Contents { member: Index, change: C },
    Packed { member: Index, edits: Vec<bytes::Edit> },
    Claim { member: Index, claim: Claim },
    Deflate { member: Index },
    Repeat { member: Index },
    Remove { member: Index },
    Whole(Whole),
}

/// Changes of an archive.
#[derive(Clone, Debug)]
pub struct Edits<C> {
    edits: Vec<Edit<C>>,
    /// Changes that know nothing of the format.
    raw: Vec<bytes::Edit>,
}

fn number() -> impl Strategy<Value = Field> {
    let ends = [0, 1 << 16, 1 << 31, 1 << 32, 1 << 63, u64::MAX, u64::from(u32::MAX)];
    prop_oneof![
        select(ends.to_vec()).prop_map(Field::Is),
        (0..400_u64).prop_map(Field::Is),
        (-9..9_i64).prop_map(Field::Off),
    ]
}

fn claim() -> impl Strategy<Value = Claim> {
    const NAMES: [&str; 12] = [
        "",
        "a.npy",
        ".npy",
        "/a.npy",
        "../a.npy",
        "a//b.npy",
        "C:/a.npy",
        "a\\b.npy",
        "s/data.pkl",
        "s/data/0",
        "s/data/1",
        "s/byteorder",
    ];
    let name = || select(NAMES.to_vec());
    let method = || select(vec![STORED, DEFLATED, 9, 12, u16::MAX]);
    prop_oneof![
        name().prop_map(Claim::Name),
        name().prop_map(Claim::LocalName),
        method().prop_map(Claim::Method),
        method().prop_map(Claim::LocalMethod),
        (0..16_u16).prop_map(|bit| Claim::Flags(1 << bit)),
        any::<u32>().prop_map(Claim::Checksum),
        number().prop_map(Claim::Size),
        number().prop_map(Claim::PackedSize),
        number().prop_map(Claim::LocalSize),
        number().prop_map(Claim::Start),
        Just(Claim::Wide),
    ]
}

fn whole() -> impl Strategy<Value = Whole> {
    let text = || prop_oneof![Just(b"PK\x05\x06".to_vec()), vec(any::<u8>(), 0..40)];
    prop_oneof![
        Just(Whole::Wide),
        number().prop_map(Whole::Count),
        number().prop_map(Whole::DirectorySize),
        number().prop_map(Whole::DirectoryStart),
        text().prop_map(Whole::Comment),
        text().prop_map(Whole::Tail),
    ]
}

/// Changes of an archive, in which `contents` are those of an entry.
pub fn edits<C, S>(contents: S) -> impl Strategy<Value = Edits<C>>
where
    C: Clone + std::fmt::Debug + 'static,
    S: Strategy<Value = C> + 'static,
{
    let member = any::<Index>;
    let edit = prop_oneof![
        12 => (member(), contents).prop_map(|(member, change)| Edit::Contents { member, change }),
        4 => (member(), claim()).prop_map(|(member, claim)| Edit::Claim { member, claim }),
        2 => whole().prop_map(Edit::Whole),
        1 => (member(), bytes::edits(2)).prop_map(|(member, edits)| Edit::Packed { member, edits }),
        1 => member().prop_map(|member| Edit::Deflate { member }),
        1 => member().prop_map(|member| Edit::Repeat { member }),
        1 => member().prop_map(|member| Edit::Remove { member }),
    ];
    let raw = prop_oneof![7 => Just(vec![]), 1 => bytes::edits(2)];
    (vec(edit, 0..3), raw).prop_map(|(edits, raw)| Edits { edits, raw })
}

/// The file of names and contents with their changes. `change` makes contents from others.
pub fn edited<C>(
    seed: &[(String, Vec<u8>)],
    edits: &Edits<C>,
    change: impl Fn(&[u8], &C) -> Vec<u8>,
) -> Vec<u8> {
    let whole = claimed(seed, edits, change).write();
    bytes::edited(&whole, &edits.raw, std::slice::from_ref(&whole))
}

/// The same before it is written, without the changes that know nothing of the format.
pub fn claimed<C>(
    seed: &[(String, Vec<u8>)],
    Edits { edits, .. }: &Edits<C>,
    change: impl Fn(&[u8], &C) -> Vec<u8>,
) -> Zip {
    let members = seed.iter().map(|(name, contents)| Member::stored(name, contents));
    let mut zip = Zip::of(members);
    for edit in edits {
        let count = zip.members.len();
        let at = |member: &Index| member.index(count.max(1));
        match edit {
            Edit::Whole(whole) => match whole.clone() {
                Whole::Wide => zip.is_wide = true,
                Whole::Count(number) => zip.count = number,
                Whole::DirectorySize(number) => zip.directory_size = number,
                Whole::DirectoryStart(number) => zip.directory_start = number,
                Whole::Comment(comment) => zip.comment = comment,
                Whole::Tail(tail) => zip.tail = tail,
            },
            _ if count == 0 => {}
            Edit::Contents { member, change: contents } => {
                let member = &mut zip.members[at(member)];
                // What is packed stays as it is: the bytes of an edited pickle are no Deflate.
                if member.method == STORED {
                    member.packed = change(&member.packed, contents);
                    member.size = member.packed.len() as u64;
                    member.checksum = crc32fast::hash(&member.packed);
                }
            }
            Edit::Packed { member, edits } => {
                let member = &mut zip.members[at(member)];
                let others = [member.packed.clone()];
                member.packed = bytes::edited(&member.packed, edits, &others);
            }
            Edit::Claim { member, claim } => claim.apply(&mut zip.members[at(member)]),
            Edit::Deflate { member } => {
                let member = &mut zip.members[at(member)];
                if member.method == STORED {
                    let packed = Member::deflated("", &member.packed);
                    (member.method, member.packed) = (DEFLATED, packed.packed);
                }
            }
            Edit::Repeat { member } => {
                let member = zip.members[at(member)].clone();
                zip.members.push(member);
            }
            Edit::Remove { member } => drop(zip.members.remove(at(member))),
        }
    }
    zip
}
