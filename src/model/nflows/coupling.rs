//! Couplings, whose networks are `ResidualNet`s.

use super::super::translation::{Rows, by_element};
use super::reader::Reader;
use crate::any_layer::AnyLayerConfig;
use crate::bijector::{Block, BlockwiseConfig};
use crate::conditioner::{AnyNetConfig, ResNetConfig};
use crate::coupling::CouplingConfig;
use crate::law::{AffineConfig, AffineForm, AnyLawConfig, FlooredAffineConfig, ScaleForm};
use crate::state_dict::StateDictError;
use crate::tensor::half::Half;

impl Reader<'_> {
    pub(super) fn coupling(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let (identity, transformed) = self.halves(prefix)?;
        let net = format!("{prefix}.transform_net");
        let [outputs, width] = self.file.shape(&format!("{net}.final_layer.weight"))?;
        let n = transformed.len();
        if !outputs.is_multiple_of(n) {
            return Err(self.file.undetermined(format!(
                "`{net}`: expected a multiple of {n} outputs, one for each transformed element, \
                 found {outputs}"
            )));
        }
        // The outputs of affine couplings are ordered by parameter, the shift first. Those of
        // splines are ordered by element, and logits are divided by the root of the width.
        let n_params = outputs / n;
        let all: Vec<usize> = (0..outputs).collect();
        let (law, rows, splits): (AnyLawConfig, _, Option<(usize, f64)>) = match n_params {
            1 => (AffineConfig::new(AffineForm::Additive).into(), all, None),
            2 => {
                let rows = [&all[n..], &all[..n]].concat();
                (FlooredAffineConfig::new(ScaleForm::Sigmoid).into(), rows, None)
            }
            _ => {
                let spline = self.spline(&net, n_params)?;
                let order: Vec<usize> = (0..n_params).collect();
                let logits = 2 * spline.n_bins * n;
                let offset = self.slope_offset(&spline);
                (spline.into(), by_element(&order, n), Some((logits, offset)))
            }
        };
        let root = (width as f64).sqrt();
        let logits = splits.map_or(0, |(logits, _)| logits);
        let factor = |output: usize| if output < logits { 1.0 / root } else { 1.0 };
        let offset = |output: usize| match splits {
            Some((logits, offset)) if output >= logits => offset,
            _ => 0.0,
        };
        let rows = Rows { rows, factor: &factor, offset: &offset };

        // The longer half is the first one here.
        let half = if identity.len() >= n { Half::First } else { Half::Second };
        let order = match half {
            Half::First => [identity.as_slice(), &transformed].concat(),
            Half::Second => [transformed.as_slice(), &identity].concat(),
        };
        self.permute(order.clone());
        let residual = self.residual_config(&net, width)?;
        let config = CouplingConfig::new(law, AnyNetConfig::ResNet(residual)).with_identity(half);
        let path = self.push(AnyLayerConfig::Coupling(config));
        let path = format!("{path}.conditioner.net.ResNet");
        self.residual_net(&path, &net, identity.len(), rows)?;
        self.own_splines(prefix, half, identity.len(), order.len())?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &element)| back[element] = place);
        self.permute(back);
        Ok(())
    }

    /// Indices of the elements that pass unchanged, and of those that are transformed.
    fn halves(&mut self, prefix: &str) -> Result<(Vec<usize>, Vec<usize>), StateDictError> {
        let names = [format!("{prefix}.identity_features"), format!("{prefix}.transform_features")];
        let [identity] = self.file.shape(&names[0])?;
        let [transformed] = self.file.shape(&names[1])?;
        let features = identity + transformed;
        self.has_features(prefix, features)?;
        if identity.abs_diff(transformed) > 1 {
            return Err(self.file.undetermined(format!(
                "`{prefix}`: expected halves that differ by at most one element, found {identity} \
                 and {transformed}"
            )));
        }
        let identity = self.file.indices(&names[0], features)?;
        let transformed = self.file.indices(&names[1], features)?;
        self.is_order(prefix, &[identity.as_slice(), &transformed].concat())?;
        Ok((identity, transformed))
    }

    fn residual_config(&self, net: &str, width: usize) -> Result<ResNetConfig, StateDictError> {
        self.no_batch_norm(net)?;
        Ok(ResNetConfig::new()
            .with_d_hidden(width)
            .with_n_blocks(self.file.count(&format!("{net}.blocks.")))
            .with_activation(self.settings.activation)
            .with_dropout(self.settings.dropout))
    }

    /// An error for batch normalisation within a network.
    pub(super) fn no_batch_norm(&self, net: &str) -> Result<(), StateDictError> {
        let has_norm = ["batch_norm_layers", "batch_norm"]
            .into_iter()
            .any(|name| self.file.has_within(&format!("{net}.blocks.0.{name}.")));
        if !has_norm {
            return Ok(());
        }
        Err(self.file.undetermined(format!(
            "`{net}` has batch normalisation within its blocks, which no network here has"
        )))
    }

    fn residual_net(
        &mut self,
        path: &str,
        net: &str,
        identity: usize,
        outputs: Rows<'_>,
    ) -> Result<(), StateDictError> {
        let [width, inputs] = self.file.shape(&format!("{net}.initial_layer.weight"))?;
        if inputs < identity {
            let reason = format!("`{net}`: expected {identity} inputs or more, found {inputs}");
            return Err(self.file.undetermined(reason));
        }
        if inputs > identity {
            self.has_context(net, inputs - identity)?;
        }
        let square = [width, width];
        let (first, name) = (format!("{path}.input"), format!("{net}.initial_layer"));
        self.file.dense(&first, &name, [width, inputs])?;
        for block in 0..self.file.count(&format!("{net}.blocks.")) {
            let (path, name) = (format!("{path}.blocks.{block}"), format!("{net}.blocks.{block}"));
            self.file.dense(
                &format!("{path}.first"),
                &format!("{name}.linear_layers.0"),
                square,
            )?;
            self.file.dense(
                &format!("{path}.second"),
                &format!("{name}.linear_layers.1"),
                square,
            )?;
            if inputs > identity {
                let (gate, name) = (format!("{path}.gate"), format!("{name}.context_layer"));
                self.file.dense(&gate, &name, [width, inputs - identity])?;
            }
        }
        let (path, name) = (format!("{path}.output"), format!("{net}.final_layer"));
        self.file.dense_with(&path, &name, outputs, width)
    }

    /// The splines of the elements that the coupling leaves unchanged, if it has any.
    fn own_splines(
        &mut self,
        prefix: &str,
        half: Half,
        identity: usize,
        features: usize,
    ) -> Result<(), StateDictError> {
        let prefix = format!("{prefix}.unconditional_transform");
        if !self.file.has_within(&format!("{prefix}.")) {
            return Ok(());
        }
        let (config, theta, n_params) = self.elementwise(&prefix)?;
        if theta.len() != n_params * identity {
            return Err(self.file.undetermined(format!(
                "`{prefix}`: expected splines of {identity} elements, found {}",
                theta.len() / n_params
            )));
        }
        let transformed = half.other_range(features);
        let own: Vec<usize> = (0..features).filter(|index| !transformed.contains(index)).collect();
        let blocks = BlockwiseConfig::new(vec![
            Block::new(own, AnyLayerConfig::Elementwise(config)),
            Block::new(transformed.collect::<Vec<_>>(), AnyLayerConfig::Stack(vec![])),
        ]);
        let path = self.push(AnyLayerConfig::Blockwise(blocks));
        self.file.put(format!("{path}.layers.0.theta"), [1, n_params, identity], theta);
        Ok(())
    }
}
