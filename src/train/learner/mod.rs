//! burn's `Learner` for flows (feature `train`): its dashboard, checkpoints, early stopping and
//! device strategies.
//!
//! [`Trainer`](super::Trainer) is the crate's own way to train, with averaged weights, one file for
//! a whole run and exact resumption. This module is for users of burn's `SupervisedTraining`:
//!
//! | burn requires | here |
//! |---|---|
//! | a model with a `TrainStep` and an `InferenceStep` | [`MaximumLikelihood`] of any [`Likelihood`]: [`Flow`](crate::Flow) |
//! | the output of a step | [`StepLikelihood`] |
//! | metrics | [`LikelihoodMetric`], in bits/dim or in nats, with its provenance |
//! | data loaders | [`Loader`](crate::data::Loader), or burn's with [`ImageBatcher`](crate::data::ImageBatcher) |
//! | several devices | [`DataParallel`], with a [`ShardedLoader`] |
//! | noise that does not depend on what ran before | [`SeededLoader`] |
//! | a renderer without a terminal | [`EpochLog`] |
//!
//! # Resuming
//!
//! burn's checkpointers save model, optimizer and learning rate after an epoch. Lazy parameters,
//! boxes and frozen permutations are all in the model's record. `SupervisedTraining::checkpoint(k)`
//! continues after epoch `k` with a model that was made by
//! [`without_data`](crate::Uninit::without_data). The result equals that of an uninterrupted
//! training bit for bit, provided that the loaders start at epoch `k` too:
//! [`Loader::starting_at_epoch`](crate::data::Loader::starting_at_epoch) and
//! [`SeededLoader::training`]. burn-train 0.22.1 does not restore:
//!
//! * the order of burn's own `DataLoader`, whose generator starts again with the process;
//! * the best value so far of `MetricEarlyStoppingStrategy`: the first epoch after a resume counts
//!   as the best;
//! * anything within an epoch.
//!
//! burn panics on a checkpoint that does not fit. A checkpoint consists of three files without a
//! checksum.

mod data_parallel;
mod epoch_log;
mod likelihood;
mod likelihood_metric;
mod maximum_likelihood;
mod seeded_loader;
mod sharded_loader;
mod step_likelihood;

pub use data_parallel::DataParallel;
pub use epoch_log::EpochLog;
pub use likelihood::Likelihood;
pub use likelihood_metric::LikelihoodMetric;
pub use maximum_likelihood::MaximumLikelihood;
pub use seeded_loader::SeededLoader;
pub use sharded_loader::{Shard, ShardedLoader};
pub use step_likelihood::StepLikelihood;
