//! Training: what turns a flow and data into a trained flow.
