//! Layouts of files: how a codec's tensors are spelled in them, and where in a file a tensor lies.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::{Kind, TensorSpec};

/// A spelling of a codec's tensor names.
pub(crate) struct Layout {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Beginnings of names that only the codec's first layers have, in this layout.
    pub(crate) markers: &'static [&'static str],
    /// Beginnings of names that no other codec with these layers has.
    pub(crate) own: &'static [&'static str],
    /// A tensor's names.
    pub(crate) spell: fn(&TensorSpec) -> Spelled,
    /// Whether a name under the codec's prefix is that of a tensor which is no part of the codec.
    pub(crate) ignored: fn(&str) -> bool,
}

/// The names that a tensor may have in a file, the usual one first.
pub(crate) enum Spelled {
    /// Of the tensor itself.
    Whole(Vec<String>),
    /// Of the tensor of all projections of which it is one; rows that are turned are in interleaved rotary order.
    Fused(Vec<String>),
}

/// Layers of a codec among a file's tensors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// What stands before every name.
    pub(crate) prefix: String,
    /// Number of the layout.
    pub(crate) layout: usize,
    /// Whether there are tensors that only this codec has.
    pub(crate) certain: bool,
}

/// The layouts and prefixes under which a codec of these layouts may lie among tensor names.
pub(crate) fn detect<'a>(names: impl Iterator<Item = &'a str>, layouts: &[Layout]) -> BTreeSet<Found> {
    let mut layers = BTreeSet::new();
    let mut own = BTreeSet::new();
    for name in names {
        for (number, layout) in layouts.iter().enumerate() {
            let with = |markers: &'static [&'static str]| {
                let found = markers.iter().flat_map(move |marker| prefixes(name, marker));
                found.map(move |prefix| (prefix, number))
            };
            layers.extend(with(layout.markers));
            own.extend(with(layout.own));
        }
    }
    let found = |(prefix, layout): (&str, usize)| Found {
        prefix: prefix.into(),
        layout,
        certain: own.contains(&(prefix, layout)),
    };
    layers.into_iter().map(found).collect()
}

/// What may stand before `marker` in `name`: nothing, or modules.
fn prefixes<'a>(name: &'a str, marker: &str) -> impl Iterator<Item = &'a str> {
    name.match_indices(marker).map(|(at, _)| &name[..at]).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// Whether a name is that of half a weight, kept apart by PyTorch's weight norm.
pub(super) fn is_weight_norm(name: &str) -> bool {
    name.ends_with(".weight_g") || name.ends_with(".weight_v") || name.contains(".parametrizations.weight.original")
}

/// Where a tensor lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// The name in the file.
    pub(super) name: String,
    /// The shape of the whole tensor in the file.
    pub(super) shape: Vec<usize>,
    /// The rows (of the first axis) that are meant, if not all.
    pub(super) rows: Option<Range<usize>>,
    /// The size of a head whose rows go from interleaved rotary order to half-split order.
    pub(super) interleaved: Option<usize>,
}

impl Layout {
    /// The place of a tensor: under the first of its spellings that is `present`, else under its usual one.
    pub(super) fn locate(&self, spec: &TensorSpec, prefix: &str, present: impl Fn(&str) -> bool) -> Location {
        let mut location = Location { name: String::new(), shape: spec.shape.clone(), rows: None, interleaved: None };
        let names = match ((self.spell)(spec), &spec.kind) {
            (Spelled::Fused(names), Kind::Projected { rows, of, rotary }) => {
                location.rows = Some(rows.clone());
                location.shape[0] = *of;
                location.interleaved = *rotary;
                names
            }
            (Spelled::Fused(names) | Spelled::Whole(names), _) => names,
        };
        let mut names = names.into_iter().map(|name| format!("{prefix}{name}"));
        let usual = names.next().unwrap_or_default();
        location.name = if present(&usual) { usual } else { names.find(|name| present(name)).unwrap_or(usual) };
        location
    }
}

/// Within each head, rows (0, 1, 2, 3, ...) become (0, 2, ..., 1, 3, ...): a rotary pair's members, beside each other
/// before, are then half a head apart.
pub(super) fn half_split_rows(bytes: &[u8], row: usize, head_dim: usize) -> Vec<u8> {
    let mut split = Vec::with_capacity(bytes.len());
    for head in bytes.chunks_exact((row * head_dim).max(1)) {
        for member in 0..2 {
            head.chunks_exact(row).skip(member).step_by(2).for_each(|bytes| split.extend_from_slice(bytes));
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_head_are_split_in_halves() {
        assert_eq!(half_split_rows(&[0, 1, 2, 3, 10, 11, 12, 13], 1, 4), [0, 2, 1, 3, 10, 12, 11, 13]);
        assert_eq!(half_split_rows(&[0, 0, 1, 1, 2, 2, 3, 3], 2, 4), [0, 0, 2, 2, 1, 1, 3, 3]);
    }
}
