//! The transforms of a state dict, one after another.

use burn::module::Module;

use super::super::translation::Translation;
use super::settings::NflowsSettings;
use crate::any_layer::AnyLayerConfig;
use crate::flow::uninit::Uninit;
use crate::reshape::PermutationConfig;
use crate::reshape::order::Order;
use crate::state_dict::{StateDict, StateDictError};

/// Most composites within each other; a file could nest them until the stack overflows.
const MOST_NESTED: usize = 16;

/// What was read until now.
pub(super) struct Reader<'a> {
    pub file: Translation<'a>,
    pub settings: &'a NflowsSettings,
    layers: Vec<AnyLayerConfig>,
    features: Option<usize>,
    context: Option<usize>,
}

/// The reader of one transform, whose arrays begin with a prefix.
type Read<'a> = fn(&mut Reader<'a>, &str) -> Result<(), StateDictError>;

impl<'a> Reader<'a> {
    /// Reads all transforms.
    pub fn read(
        state: &'a StateDict,
        settings: &'a NflowsSettings,
    ) -> Result<Self, StateDictError> {
        let file = Translation::new(state);
        let mut reader = Self { file, settings, layers: vec![], features: None, context: None };
        reader.transform("_transform", 0)?;
        Ok(reader)
    }

    fn transform(&mut self, prefix: &str, depth: usize) -> Result<(), StateDictError> {
        if depth > MOST_NESTED {
            let reason = format!("`{prefix}` is nested more than {MOST_NESTED} times");
            return Err(self.file.undetermined(reason));
        }
        let members = format!("{prefix}._transforms.");
        if self.file.has_within(&members) {
            let n = self.file.count(&members);
            (0..n).try_for_each(|index| self.transform(&format!("{members}{index}"), depth + 1))?;
            return match self.file.has_beyond(&members, n) {
                None => Ok(()),
                Some(name) => Err(self.file.undetermined(format!(
                    "there is `{name}`, but no array of `{members}{n}`: a transform without arrays \
                     has no layer here"
                ))),
            };
        }
        // An array that only transforms of one kind have, and their reader.
        let kinds: [(&str, Read<'a>); 8] = [
            ("_permutation", Self::permutation),
            ("autoregressive_net.initial_layer.weight", Self::autoregressive),
            ("identity_features", Self::coupling),
            ("unnormalized_widths", Self::splines),
            ("unconstrained_upper_diag", Self::matrix),
            ("running_mean", Self::batch_norm),
            ("log_scale", Self::norm),
            ("_scale", Self::affine),
        ];
        let kind = kinds.iter().find(|(array, _)| self.file.has(&format!("{prefix}.{array}")));
        match kind {
            Some((_, read)) => read(self, prefix),
            None => Err(self.file.undetermined(format!(
                "the arrays of `{prefix}` are not those of a transform that has a layer here"
            ))),
        }
    }

    fn permutation(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let name = format!("{prefix}._permutation");
        let [features] = self.file.shape(&name)?;
        self.has_features(prefix, features)?;
        let order = self.file.indices(&name, features)?;
        self.is_order(&name, &order)?;
        self.permute(order);
        Ok(())
    }

    /// Checks that each index is there once.
    pub fn is_order(&self, name: &str, indices: &[usize]) -> Result<(), StateDictError> {
        let mut sorted = indices.to_vec();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..indices.len()) {
            return Ok(());
        }
        let n = indices.len();
        Err(self.file.undetermined(format!("`{name}`: expected each of 0..{n} once")))
    }

    /// Adds a permutation, unless it changes nothing.
    pub fn permute(&mut self, order: Vec<usize>) {
        if order.iter().copied().eq(0..order.len()) {
            return;
        }
        let config = PermutationConfig::new().with_order(Order::Explicit(order.clone()));
        let path = self.push(AnyLayerConfig::Permutation(config));
        self.file.put_indices(format!("{path}.indices"), &order);
    }

    /// Adds a layer. Returns the path of its parameters.
    pub fn push(&mut self, layer: AnyLayerConfig) -> String {
        self.layers.push(layer);
        format!("bijector.{}", self.layers.len() - 1)
    }

    /// All transforms have the same number of features.
    pub fn has_features(&mut self, prefix: &str, found: usize) -> Result<(), StateDictError> {
        let expected = *self.features.get_or_insert(found);
        if expected == found {
            return Ok(());
        }
        Err(self.file.undetermined(format!(
            "`{prefix}`: expected {expected} features, as of the transforms before, found {found}"
        )))
    }

    /// All networks that read a context read the same one.
    pub fn has_context(&mut self, prefix: &str, found: usize) -> Result<(), StateDictError> {
        let expected = *self.context.get_or_insert(found);
        if expected == found {
            return Ok(());
        }
        Err(self.file.undetermined(format!(
            "`{prefix}`: expected a context of {expected} elements, as of the networks before, \
             found {found}"
        )))
    }

    pub fn layers(&self) -> &[AnyLayerConfig] {
        &self.layers
    }

    pub fn context(&self) -> Option<usize> {
        self.context
    }

    pub fn features(&self) -> Result<usize, StateDictError> {
        self.features.ok_or_else(|| self.file.undetermined("there is no transform"))
    }

    pub fn into_model<M: Module>(self, uninit: Uninit<M>) -> Result<M, StateDictError> {
        self.file.into_model(uninit)
    }
}
