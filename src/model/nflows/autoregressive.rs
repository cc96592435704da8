//! Masked autoregressive transforms, whose networks are `MADE`s.

use super::super::translation::{Rows, by_element};
use super::reader::Reader;
use crate::any_layer::AnyLayerConfig;
use crate::autoregressive::{MadeConfig, MaskedAutoregressiveConfig, ResMadeConfig};
use crate::law::{AnyLawConfig, FlooredAffineConfig, ScaleForm};
use crate::state_dict::StateDictError;

/// The last layer of a network.
struct Last {
    law: AnyLawConfig,
    n_params: usize,
    /// The first parameter that is one of a slope, and what is added to it.
    slopes: (usize, f64),
}

impl Reader<'_> {
    pub(super) fn autoregressive(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let net = format!("{prefix}.autoregressive_net");
        let [width, features] = self.file.shape(&format!("{net}.initial_layer.weight"))?;
        self.has_features(prefix, features)?;
        self.no_batch_norm(&net)?;
        let last = self.last(&net, features)?;
        let n_blocks = self.file.count(&format!("{net}.blocks."));
        if self.file.has_within(&format!("{net}.blocks.0.linear_layers.")) {
            self.residual(&net, [width, features, n_blocks], last)
        } else if self.file.has_within(&format!("{net}.blocks.0.linear.")) {
            self.feedforward(&net, [width, features, n_blocks], last)
        } else {
            Err(self.file.undetermined(format!(
                "`{net}` has no blocks: expected residual or feedforward blocks"
            )))
        }
    }

    fn last(&self, net: &str, features: usize) -> Result<Last, StateDictError> {
        let [outputs, _] = self.file.shape(&format!("{net}.final_layer.weight"))?;
        if !outputs.is_multiple_of(features) {
            return Err(self.file.undetermined(format!(
                "`{net}`: expected a multiple of {features} outputs, found {outputs}"
            )));
        }
        let n_params = outputs / features;
        if n_params == 2 {
            let law = FlooredAffineConfig::new(ScaleForm::Softplus).into();
            return Ok(Last { law, n_params, slopes: (2, 0.0) });
        }
        let spline = self.spline(net, n_params)?;
        let slopes = (2 * spline.n_bins, self.slope_offset(&spline));
        Ok(Last { law: spline.into(), n_params, slopes })
    }

    fn residual(
        &mut self,
        net: &str,
        [width, features, n_blocks]: [usize; 3],
        last: Last,
    ) -> Result<(), StateDictError> {
        let config = ResMadeConfig::new()
            .with_d_hidden(width)
            .with_n_blocks(n_blocks)
            .with_activation(self.settings.activation)
            .with_dropout(self.settings.dropout);
        let config = MaskedAutoregressiveConfig::new(last.law.clone(), config);
        let path = self.push(AnyLayerConfig::ResidualAutoregressive(config));
        let path = format!("{path}.conditioner.net");
        let elements: Vec<usize> = (1..=features).collect();
        let first =
            self.masked(&format!("{path}.input"), &format!("{net}.initial_layer"), &elements)?;
        let has_context = self.context_layer(&format!("{path}.context"), net, width)?;
        let mut degrees = first;
        for block in 0..n_blocks {
            let (path, name) = (format!("{path}.blocks.{block}"), format!("{net}.blocks.{block}"));
            for (ours, theirs) in [("first", 0), ("second", 1)] {
                let theirs = format!("{name}.linear_layers.{theirs}");
                degrees = self.masked(&format!("{path}.{ours}"), &theirs, &degrees)?;
            }
            if has_context {
                self.context_layer(&format!("{path}.context"), &name, width)?;
            }
        }
        self.output(&path, net, &degrees, features, &last)
    }

    fn feedforward(
        &mut self,
        net: &str,
        [width, features, n_blocks]: [usize; 3],
        last: Last,
    ) -> Result<(), StateDictError> {
        if self.file.has_within(&format!("{net}.context_layer.")) {
            return Err(self.file.undetermined(format!(
                "`{net}` is a feedforward network with a context, which no network here computes: \
                 expected residual blocks"
            )));
        }
        let config =
            MadeConfig::new(vec![width; n_blocks + 1]).with_activation(self.settings.activation);
        let config = MaskedAutoregressiveConfig::new(last.law.clone(), config);
        let path = self.push(AnyLayerConfig::MaskedAutoregressive(config));
        let path = format!("{path}.conditioner.net");
        let elements: Vec<usize> = (1..=features).collect();
        let mut degrees = elements;
        for layer in 0..=n_blocks {
            let name = match layer.checked_sub(1) {
                None => format!("{net}.initial_layer"),
                Some(block) => format!("{net}.blocks.{block}.linear"),
            };
            degrees = self.masked(&format!("{path}.hidden.{layer}"), &name, &degrees)?;
        }
        self.output(&path, net, &degrees, features, &last)
    }

    /// A hidden layer whose inputs have these degrees. Returns those of its outputs.
    fn masked(
        &mut self,
        path: &str,
        name: &str,
        inputs: &[usize],
    ) -> Result<Vec<usize>, StateDictError> {
        let features = self.features()?;
        let degrees = self.file.indices(&format!("{name}.degrees"), features + 1)?;
        self.file.expect_mask(&format!("{name}.mask"), inputs, &degrees, |i, o| i <= o)?;
        self.file.dense(&format!("{path}.linear"), name, [degrees.len(), inputs.len()])?;
        self.file.degrees(path, inputs, &degrees);
        Ok(degrees)
    }

    /// The layer of the context, if there is one.
    fn context_layer(
        &mut self,
        path: &str,
        name: &str,
        width: usize,
    ) -> Result<bool, StateDictError> {
        let name = format!("{name}.context_layer");
        if !self.file.has_within(&format!("{name}.")) {
            return Ok(false);
        }
        let [_, context] = self.file.shape(&format!("{name}.weight"))?;
        self.has_context(&name, context)?;
        self.file.dense(path, &name, [width, context])?;
        Ok(true)
    }

    fn output(
        &mut self,
        path: &str,
        net: &str,
        inputs: &[usize],
        features: usize,
        last: &Last,
    ) -> Result<(), StateDictError> {
        let (name, n_params) = (format!("{net}.final_layer"), last.n_params);
        let elements: Vec<usize> = (1..=features).collect();
        let theirs: Vec<usize> =
            elements.iter().flat_map(|&degree| vec![degree; n_params]).collect();
        self.file
            .expect(&format!("{name}.degrees"), &[theirs.len()], |unit| theirs[unit] as f64)?;
        self.file.expect_mask(&format!("{name}.mask"), inputs, &theirs, |i, o| i < o)?;
        let order: Vec<usize> = (0..n_params).collect();
        let (first_slope, offset) = last.slopes;
        let offset = |output: usize| if output / features >= first_slope { offset } else { 0.0 };
        let rows = Rows { rows: by_element(&order, features), factor: &|_| 1.0, offset: &offset };
        self.file.dense_with(&format!("{path}.output.linear"), &name, rows, inputs.len())?;
        self.file.degrees(&format!("{path}.output"), inputs, &elements.repeat(n_params));
        self.file.put_indices(format!("{path}.order"), &(0..features).collect::<Vec<_>>());
        Ok(())
    }
}
